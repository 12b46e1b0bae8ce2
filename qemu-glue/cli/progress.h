// What a user sees of a migration: a line that renews itself on a terminal, or with --json an object a
// second; and the summary at the end.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "qemu-glue/outcome/report.h"

namespace wherry::cli {

class Progress {
 public:
  // Prints from start() until it goes. Without a terminal and without `json` it prints nothing.
  Progress(std::function<Report()> report, bool json);
  // The same for what is no Report. `line` makes what is printed, without an end of line.
  Progress(std::function<std::string()> line, bool json);
  ~Progress();
  Result<> start();

 private:
  void run();

  const std::function<std::string()> line_;
  const bool json_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;
  std::thread thread_;
};

// A line on standard output, for a program that reads it.
void print_line(const std::string& line);
// JSON in one line.
std::string json_text(const nlohmann::json& json);
// The end of a migration, for a person or as one JSON object more.
void print_summary(const Report& report, bool json);

// For a migration that cannot begin: says why on standard error, in the report, and as JSON if that is
// wished.
void print_failure(ReportFile& file, Report report, Outcome outcome, const Error& error, bool json);
// For one that is left in the middle: says so in the report.
void write_last(ReportFile& file, Report report, Outcome outcome, const std::string& why);

}  // namespace wherry::cli
