// Prints a migration's progress: a line that is redrawn on a terminal, or with --json one object per second;
// and the summary at the end.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "qemu-glue/outcome/report.h"

namespace wherry::cli {

class Progress {
 public:
  // Prints from start() until it is destroyed. Prints nothing without a terminal and without `json`.
  Progress(std::function<Report()> report, bool json);
  // `line` returns the text to print, without line feed.
  Progress(std::function<std::string()> line, bool json);
  ~Progress();
  Result<> start();

 private:
  void run();

  const std::function<std::string()> line_;
  const bool json_;
  Mutex mutex_;
  Condition stop_;
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Prints a line on standard output, for a program that reads it. Ignores errors.
void print_line(const std::string& line);
// JSON in one line.
std::string json_text(const nlohmann::json& json);
// Prints the summary of a migration that has ended, as text or as one JSON object.
void print_summary(const Report& report, bool json);

// Reports that a migration cannot begin: on standard error, in the report's file, and with `json` on standard
// output.
void print_failure(ReportFile& file, Report report, Outcome outcome, const Error& error, bool json);
// Writes the report of a migration that the command abandons.
void write_last(ReportFile& file, Report report, Outcome outcome, const std::string& why);

}  // namespace wherry::cli
