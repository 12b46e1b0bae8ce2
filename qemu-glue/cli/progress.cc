#include "qemu-glue/cli/progress.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>

#include "base/start_thread.h"
#include "qemu-glue/look/units.h"

namespace wherry::cli {
namespace {

using look::bytes_text;

std::string line(const Report& report) {
  const Report::Traffic& traffic = report.traffic;
  const double goodput = report.timeline.empty() ? 0 : report.timeline.back().goodput;
  const double ratio =
      traffic.wire_bytes ? static_cast<double>(traffic.guest_bytes) / static_cast<double>(traffic.wire_bytes)
                         : 0;
  std::string text = fmt::format(
      "{:6.1f} s  pass {}  {} of pages sent  {}/s  ratio {:.2f}", report.total_s, report.passes.value_or(1),
      bytes_text(static_cast<double>(traffic.guest_bytes)), bytes_text(goodput), ratio);
  if (traffic.disk_bytes)
    text += fmt::format("  {} of disks", bytes_text(static_cast<double>(traffic.disk_bytes)));
  if (report.remaining) text += fmt::format("  {} left", bytes_text(static_cast<double>(*report.remaining)));
  if (!report.timeline.empty() && report.timeline.back().throttle > 0)
    text += fmt::format("  throttle {:.0f} %", *report.timeline.back().throttle);
  if (report.downtime.predicted)
    text += "  downtime " + amount_text(look::Unit::milliseconds, report.downtime.predicted->total() * 1000);
  return text;
}

// The report with only the last point of the timeline, as "now".
std::string json_line(Report report) {
  auto& timeline = report.timeline;
  if (!timeline.empty()) timeline.erase(timeline.begin(), timeline.end() - 1);
  nlohmann::json json = report.to_json();
  if (!timeline.empty()) json["now"] = json["timeline"].back();
  json.erase("timeline");
  return json_text(json);
}

}  // namespace

void print_line(const std::string& line) {
  const std::string text = line + "\n";
  // An error is ignored: the reader may be gone (a wherryd that was restarted), and the migration must
  // continue.
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

std::string json_text(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Progress::Progress(std::function<Report()> report, bool json)
    : Progress(std::function<std::string()>([report = std::move(report), json] {
                 return json ? json_line(report()) : line(report());
               }),
               json) {}

Progress::Progress(std::function<std::string()> line, bool json) : line_(std::move(line)), json_(json) {}

Result<> Progress::start() {
  if (!json_ && !isatty(STDERR_FILENO)) return {};
  auto prints = start_thread("progress", [this] { run(); });
  if (!prints) return pass_on(prints);
  thread_ = std::move(*prints);
  return {};
}

Progress::~Progress() {
  {
    Lock lock(mutex_);
    stopped_ = true;
    stop_.notify_all();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  if (!json_) fmt::print(stderr, "\r\033[K");
}

void Progress::run() {
  const auto period = json_ ? std::chrono::milliseconds(1000) : std::chrono::milliseconds(200);
  Lock lock(mutex_);
  if (json_) print_line(line_());
  for (;;) {
    const auto next = std::chrono::steady_clock::now() + period;
    while (!stopped_ && stop_.wait_until(mutex_, next)) continue;
    if (stopped_) return;
    if (json_) {
      print_line(line_());
    } else {
      fmt::print(stderr, "\r\033[K{}", line_());
      std::fflush(stderr);
    }
  }
}

void print_summary(const Report& report, bool json) {
  if (json) return print_line(json_line(report));
  const auto& [how, reason] = report.placement;
  const Report::Downtime& downtime = report.downtime;
  const Report::Traffic& traffic = report.traffic;
  const PageCounts& pages = traffic.pages;
  const auto row = [](const char* name, const std::string& value) {
    fmt::print("  {:<12} {}\n", name, value);
  };
  fmt::print("migration {}\n", report.status());
  if (!report.error().empty()) row("cause", report.error());
  row("total", fmt::format("{:.2f} s", report.total_s));
  if (downtime.switchover_ms) {
    row("downtime",
        fmt::format("{:.0f} ms", *downtime.switchover_ms) +
            (downtime.predicted ? fmt::format(" ({:.0f} predicted)", downtime.predicted->total() * 1000)
                                : ""));
  }
  row("guest memory", fmt::format("{} in {} passes", bytes_text(static_cast<double>(traffic.guest_bytes)),
                                  report.passes.value_or(1)));
  if (traffic.disk_bytes) row("disks", bytes_text(static_cast<double>(traffic.disk_bytes)));
  row("on the wire", fmt::format("{} over {} lanes", bytes_text(static_cast<double>(traffic.wire_bytes)),
                                 report.lanes.size()));
  row("pages", fmt::format("{} zero, {} same, {} delta, {} zstd, {} raw", pages.zero, pages.same, pages.delta,
                           pages.zstd, pages.raw));
  row("placement", how + (reason.empty() ? "" : " (" + reason + ")"));
  row("in flight",
      fmt::format("at most {} of {} allowed", bytes_text(static_cast<double>(traffic.in_flight_max)),
                  bytes_text(static_cast<double>(traffic.in_flight_bound))));
  for (const auto& [channel, why] : report.opaque) row("opaque", fmt::format("{}: {}", channel, why));
}

void print_failure(ReportFile& file, Report report, Outcome outcome, const Error& error, bool json) {
  report.ended = Ended{outcome, error.message};
  if (json) print_line(json_line(report));
  if (auto written = file.write(report); !written) spdlog::warn("{}", written.error().message);
  spdlog::error("{}", error.message);
}

void write_last(ReportFile& file, Report report, Outcome outcome, const std::string& why) {
  report.ended = Ended{outcome, why};
  if (auto written = file.write(report); !written) spdlog::warn("{}", written.error().message);
}

}  // namespace wherry::cli
