// wherry report: makes a page for a browser from the file of --report.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <fstream>
#include <iostream>

#include "base/errno.h"
#include "qemu-glue/cli/commands.h"
#include "qemu-glue/look/page.h"
#include "qemu-glue/look/trace_events.h"
#include "transport/socket/socket.h"

namespace wherry::cli {
namespace {

struct ReportOptions {
  std::string file;
  std::string trace;
  std::string output;
};

// Reads at most slightly more than kLargestReport, enough for page() to refuse it.
Result<std::string> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::string piece(64 << 10, '\0');
  while (file && text.size() <= look::kLargestReport) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    text.append(piece, 0, static_cast<size_t>(file.gcount()));
  }
  if (!file.is_open() || file.bad()) return fail("cannot read {}: {}", path, reason(errno));
  return text;
}

Result<> write(const std::string& path, const std::string& text) {
  std::ofstream file;
  if (!path.empty()) file.open(path, std::ios::binary);
  std::ostream& out = path.empty() ? std::cout : file;
  if (!(out << text) || !out.flush())
    return fail("cannot write {}: {}", path.empty() ? "to standard output" : path, reason(errno));
  return {};
}

Result<> make_page(const ReportOptions& options) {
  auto text = read(options.file);
  if (!text) return pass_on(text);
  std::vector<look::Event> traced;
  if (!options.trace.empty()) {
    auto trace = read(options.trace);
    if (!trace) return pass_on(trace);
    auto events = look::trace_events(*trace);
    if (!events) return fail("{}: {}", options.trace, events.error().message);
    traced = std::move(*events);
  }
  const auto page = look::page(*text, std::move(traced));
  if (!page) return fail("{}: {}", options.file, page.error().message);
  return write(options.output, *page);
}

int report(const ReportOptions& options) {
  const auto made = make_page(options);
  if (made) return kCompleted;
  spdlog::error("{}", made.error().message);
  return kFailed;
}

}  // namespace

void add_report(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command =
      app.add_subcommand("report", "Make a page for a browser (HTML) from the file of --report");
  command->add_option("file", options->file, "The file of --report (JSON)")->required();
  command->add_option("--trace", options->trace,
                      "Also draw the events in the file of --trace of the same migration");
  command->add_option("-o,--output", options->output, "File for the page (standard output)");
  command->callback([options, &chosen] { chosen = [options] { return report(*options); }; });
}

}  // namespace wherry::cli
