#include "qemu-glue/look/page.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "qemu-glue/look/chart.h"
#include "qemu-glue/look/fields.h"
#include "qemu-glue/look/html.h"

namespace wherry::look {
namespace {

// The policy is a second line of defence: if a text were not escaped, no script would run.
constexpr const char* kHead = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {
  color-scheme: light dark;
  --page: #f6f6f4; --card: #fff; --ink: #16181a; --soft: #5d6166; --rule: #e3e3df;
  --line: #2468c4; --mark: #c2410c; --good: #1a7f37; --bad: #c0261f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #141516; --card: #1e2022; --ink: #eceded; --soft: #a5a9ae; --rule: #35383b;
    --line: #6aa9f7; --mark: #f59e5b; --good: #5dbb74; --bad: #ff7b72;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 84rem; margin: auto; padding: 2rem 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
h1 span { color: var(--soft); }
h1 .completed { color: var(--good); }
h1 .failed { color: var(--bad); }
p { margin: .25rem 0 0; overflow-wrap: anywhere; }
.uri { color: var(--soft); }
.cause { margin-top: 1rem; padding: .75rem 1rem; background: var(--card); border-left: 4px solid var(--bad); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.25rem 0; }
.figures div, section, figure { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
.figures div { padding: .6rem .9rem; }
dt, .aside, figcaption span, th { color: var(--soft); font-size: .85rem; font-weight: normal; }
dd { margin: 0; }
dd.value { font-size: 1.35rem; font-weight: 600; line-height: 1.3; }
dd.missed { color: var(--bad); }
.charts { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 23rem), 1fr)); }
.cards { columns: 3 20rem; column-gap: .75rem; }
.cards section { display: inline-block; width: 100%; vertical-align: top; }
section { padding: .8rem .9rem; margin-bottom: .75rem; overflow-x: auto; break-inside: avoid; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .75rem .2rem 0; text-align: left; vertical-align: top; }
td { border-top: 1px solid var(--rule); overflow-wrap: break-word; }
th { white-space: nowrap; }
.n { text-align: right; white-space: nowrap; }
.bar { width: 40%; }
.bar i { display: block; height: .6rem; margin-top: .4rem; background: var(--line); border-radius: 2px; }
ol { margin: 0; padding-left: 2rem; }
figure { margin: 0; padding: .7rem .9rem .5rem; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: 1rem; font-weight: 600; }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--soft); }
.value { font-variant-numeric: tabular-nums; }
svg .value { text-anchor: end; }
svg .time { text-anchor: middle; }
.grid { stroke: var(--rule); }
.axis { stroke: var(--soft); }
.line { fill: none; stroke: var(--line); stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; }
.area { fill: var(--line); opacity: .12; }
.level path { stroke: var(--mark); stroke-dasharray: 6 4; stroke-width: 1.5; }
.outcome circle { fill: var(--mark); stroke: var(--card); stroke-width: 1.5; }
svg .level text, svg .outcome text { fill: var(--mark); paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
svg .outcome text { text-anchor: end; font-weight: 600; }
.event path { stroke: var(--soft); stroke-dasharray: 1 3; }
svg .event text, svg .unknown { text-anchor: middle; }
</style>
)";

std::string count_text(double count) {
  std::string digits = fmt::format("{:.0f}", count);
  for (auto at = static_cast<ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), "\u202f");  // narrow no-break space
  return digits;
}

std::string cell(const std::string& text, const char* kind = "") {
  return fmt::format("<td{}>{}</td>", kind, escaped(text));
}

constexpr const char* kNumber = " class=\"n\"";
// A chart with a reference value shows values up to this multiple of it.
constexpr double kOutOfRange = 4;

std::string card(const char* title, const std::string& content) {
  return content.empty() ? "" : fmt::format("<section><h2>{}</h2>\n{}</section>\n", title, content);
}

// Wraps elements in a <div> of class `kind`; empty if there are none.
std::string group(const char* kind, const std::string& content) {
  return content.empty() ? "" : fmt::format("<div class=\"{}\">\n{}</div>\n", kind, content);
}

class Page {
 public:
  Page(const nlohmann::json& report, std::vector<Event> traced)
      : report_(report, error_), messages_(std::move(traced)) {}

  Result<std::string> write() {
    read_timeline();
    if (error_) return tl::make_unexpected(*error_);
    const std::string text =
        heading() + figures() + group("cards", cards()) + card("Lanes", lanes()) + group("charts", charts());
    if (error_) return tl::make_unexpected(*error_);
    return text + "</main>\n</body>\n</html>\n";
  }

 private:
  // Checks that times are in order, which later functions rely on.
  void read_timeline() {
    timeline_ = report_.list("timeline");
    duration_ = report_.number("total_s").value_or(0);
    double before = 0;
    for (const Fields& point : timeline_) {
      const auto t = point.number("t");
      if (!t || *t < before) {
        point.refuse("t", t ? "earlier than the point before" : "missing");
        return;
      }
      before = *t;
      times_.push_back(*t);
    }
    duration_ = std::max(duration_, before);
    for (const Fields& message : report_.list("messages")) {
      const auto t = message.number("t");
      if (!t) return message.refuse("t", "missing");
      messages_.push_back({*t, message.text("text").value_or("")});
    }
    std::stable_sort(messages_.begin(), messages_.end(),
                     [](const Event& a, const Event& b) { return a.t < b.t; });
  }

  std::string required(const char* name) const {
    auto text = report_.text(name);
    if (!text) report_.refuse(name, "missing: was this file written by --report?");
    return text.value_or("");
  }

  std::string heading() const {
    const std::string status = required("status");
    const std::string role = required("role");
    const char* kind = status == "completed" ? "completed" : status == "failed" ? "failed" : "other";
    std::string text =
        kHead + fmt::format("<title>Migration {}</title>\n</head>\n<body>\n<main>\n", escaped(status));
    text += fmt::format("<h1>Migration <span class=\"{}\">{}</span></h1>\n", kind, escaped(status));
    text += fmt::format("<p class=\"uri\">As seen by the {}. {}</p>\n", escaped(role),
                        escaped(report_.text("uri").value_or("")));
    if (const auto error = report_.text("error"); error && !error->empty())
      text += fmt::format("<p class=\"cause\">{}</p>\n", escaped(*error));
    return text;
  }

  static std::string figure(const char* name, const std::string& value, const std::string& aside = "",
                            bool missed = false) {
    std::string text =
        fmt::format("<div><dt>{}</dt><dd class=\"value{}\">{}</dd>", name, missed ? " missed" : "", value);
    if (!aside.empty()) text += fmt::format("<dd class=\"aside\">{}</dd>", escaped(aside));
    return text + "</div>\n";
  }

  std::string figures() const {
    std::string text = "<dl class=\"figures\">\n";
    const auto total = report_.number("total_s");
    const auto passes = report_.number("passes");
    if (total)
      text += figure("Total", fmt::format("{:.2f} s", *total),
                     passes ? fmt::format("{:.0f} pass{}", *passes, *passes == 1 ? "" : "es") : "");
    const auto target = report_.number("target_ms");
    const std::string wish = target ? "target " + amount_text(Unit::milliseconds, *target) : "";
    if (const auto downtime = report_.number("switchover_ms"))
      text +=
          figure("Downtime", amount_text(Unit::milliseconds, *downtime), wish, target && *downtime > *target);
    const auto guest = report_.number("guest_bytes");
    const auto wire = report_.number("wire_bytes");
    // The destination counts neither wire nor guest bytes.
    const bool moved = guest && *guest > 0;
    if (moved) text += figure("Guest memory", bytes_text(*guest));
    const auto disks = report_.number("disk_bytes");
    if (disks && *disks > 0) text += figure("Disks", bytes_text(*disks));
    if (moved && wire)
      text += figure("On the wire", bytes_text(*wire), report_.text("transport").value_or(""));
    if (moved && wire && *wire > 0)
      text += figure("Ratio", amount_text(Unit::times, *guest / *wire), "guest to wire");
    const auto most = report_.number("in_flight_max");
    const auto bound = report_.number("in_flight_bound");
    if (most && *most > 0)
      text += figure("Most in flight", bytes_text(*most), bound ? "of " + bytes_text(*bound) : "");
    if (const auto throttle = report_.object("throttle")) {
      const auto mean = throttle->number("mean_percent");
      const auto by = throttle->text("by");
      std::string aside = mean ? "mean " + amount_text(Unit::percent, *mean) : "";
      if (by) aside += (aside.empty() ? "by " : ", by ") + *by;
      if (const auto peak = throttle->number("peak_percent"))
        text += figure("Highest throttle", amount_text(Unit::percent, *peak), aside);
    }
    return text + "</dl>\n";
  }

  std::string cards() const {
    return card("Pages", pages()) + card("Downtime", downtime()) + card("Placement", placement()) +
           card("Why not a better throttle", throttle_reason()) +
           card("Channels that were not parsed", opaque()) + card("Memory of the page history", history()) +
           card("Encodings, by share of the time", encodings()) + card("Messages", messages());
  }

  std::string pages() const {
    const auto pages = report_.object("pages");
    if (!pages) return {};
    constexpr std::array<const char*, 5> kKinds{"zero", "same", "delta", "zstd", "raw"};
    double all = 0;
    for (const char* kind : kKinds) all += pages->number(kind).value_or(0);
    if (all <= 0) return {};
    std::string text = "<table>\n";
    for (const char* kind : kKinds) {
      const double count = pages->number(kind).value_or(0);
      text +=
          "<tr>" + cell(kind) + cell(count_text(count), kNumber) +
          cell(fmt::format("{:.1f} %", 100 * count / all), kNumber) +
          fmt::format("<td class=\"bar\"><i style=\"width: {:.1f}%\"></i></td></tr>\n", 100 * count / all);
    }
    return text + "</table>\n";
  }

  // The parts of the downtime, predicted and measured.
  std::string downtime() const {
    const auto downtime = report_.object("downtime");
    if (!downtime) return {};
    const auto predicted = downtime->object("predicted");
    const auto measured = downtime->object("measured");
    std::vector<std::string> parts;
    for (const auto* side : {&predicted, &measured}) {
      if (!*side) continue;
      for (const std::string& part : (*side)->names()) {
        if (part != "total" && std::find(parts.begin(), parts.end(), part) == parts.end())
          parts.push_back(part);
      }
    }
    if (predicted || measured) parts.emplace_back("total");
    const auto amount = [](const std::optional<Fields>& side, const std::string& part) {
      const auto ms = side ? side->number(part) : std::nullopt;
      return cell(ms ? amount_text(Unit::milliseconds, *ms) : "–", kNumber);
    };
    std::string text;
    for (std::string& part : parts) {
      const std::string amounts = amount(predicted, part) + amount(measured, part);
      std::replace(part.begin(), part.end(), '_', ' ');
      text += "<tr>" + cell(part) + amounts + "</tr>\n";
    }
    if (text.empty()) return {};
    return "<table>\n<tr><th></th><th class=\"n\">predicted</th><th class=\"n\">measured</th></tr>\n" + text +
           "</table>\n";
  }

  std::string placement() const {
    const auto placement = report_.text("placement");
    const auto reason = report_.text("placement_reason");
    if (!placement || placement->empty()) return {};
    return "<p>" + escaped(*placement) + (reason && !reason->empty() ? ": " + escaped(*reason) : "") +
           "</p>\n";
  }

  std::string throttle_reason() const {
    const auto throttle = report_.object("throttle");
    const auto reason = throttle ? throttle->text("reason") : std::nullopt;
    return reason && !reason->empty() ? "<p>" + escaped(*reason) + "</p>\n" : "";
  }

  std::string history() const {
    const auto bytes = report_.number("history_bytes");
    const auto budget = report_.number("history_budget");
    if (!bytes || *bytes <= 0) return {};
    return "<p>" + bytes_text(*bytes) + (budget ? " of " + bytes_text(*budget) + " allowed" : "") + "</p>\n";
  }

  std::string lanes() const {
    std::string text;
    for (const Fields& lane : report_.list("lanes")) {
      const auto port = lane.object("port");
      const std::string device = port ? port->text("device").value_or("") : "";
      const auto bytes = lane.number("bytes");
      const auto written = lane.number("written");  // bytes that RDMA wrote; at the destination only
      const double moved = bytes ? *bytes : written.value_or(0);
      text += "<tr>" + cell(lane.text("peer").value_or("")) +
              cell(lane.text("transport").value_or("") + (device.empty() ? "" : " (" + device + ")")) +
              cell(moved > 0 ? bytes_text(moved) : "–", kNumber) +
              cell(lane.flag("lost").value_or(false) ? "lost" : "") +
              cell(lane.text("no_rdma").value_or("")) + "</tr>\n";
    }
    if (text.empty()) return {};
    return "<table>\n<tr><th>peer</th><th>transport</th><th class=\"n\">bytes</th><th></th>"
           "<th>why not RDMA</th></tr>\n" +
           text + "</table>\n";
  }

  std::string opaque() const {
    const auto opaque = report_.object("opaque");
    std::string text;
    for (const std::string& channel : opaque ? opaque->names() : std::vector<std::string>())
      text += "<tr>" + cell(channel) + cell(opaque->text(channel).value_or("")) + "</tr>\n";
    return text.empty() ? "" : "<table>\n" + text + "</table>\n";
  }

  // The share of timeline points of each encoding, the most frequent first.
  std::string encodings() const {
    constexpr size_t kMost = 8;
    std::map<std::string, size_t> counts;
    for (const Fields& point : timeline_) {
      if (const auto encoding = point.text("encoding"); encoding && !encoding->empty()) ++counts[*encoding];
    }
    std::vector<std::pair<std::string, size_t>> sorted(counts.begin(), counts.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    std::string text;
    for (size_t i = 0; i < std::min(sorted.size(), kMost); ++i) {
      const double share = static_cast<double>(sorted[i].second) / static_cast<double>(timeline_.size());
      text +=
          "<tr>" + cell(fmt::format("{:.1f} %", 100 * share), kNumber) + cell(sorted[i].first) + "</tr>\n";
    }
    if (sorted.size() > kMost)
      text += fmt::format("<tr><td></td><td>and {} others</td></tr>\n", sorted.size() - kMost);
    return text.empty() ? "" : "<table>\n" + text + "</table>\n";
  }

  std::string messages() const {
    std::string text;
    for (const Event& message : messages_)
      text += fmt::format("<li>{:.1f} s: {}</li>\n", message.t, escaped(message.text));
    return text.empty() ? "" : "<ol>\n" + text + "</ol>\n";
  }

  // The chart of one member of the timeline's points.
  Chart chart(const char* title, Unit unit, const char* member) const {
    Chart chart{.title = title, .unit = unit, .points = {}, .level = {}, .outcome = {}};
    for (size_t i = 0; i < times_.size(); ++i)
      chart.points.push_back({times_[i], timeline_[i].number(member)});
    return chart;
  }

  std::string charts() const {
    // The first pages can all be zero pages, which take hardly a byte on the wire.
    Chart ratio = chart("Ratio so far", Unit::times, "ratio");
    for (const Chart::Point& point : ratio.points) {
      if (point.value) ratio.most = kOutOfRange * *point.value;  // the last value remains
    }
    Chart flight = chart("In flight", Unit::bytes, "in_flight");
    if (const auto bound = report_.number("in_flight_bound"); bound && *bound > 0)
      flight.level = {*bound, "largest bound"};
    Chart downtime = chart("Downtime, predicted", Unit::milliseconds, "predicted_ms");
    if (const auto target = report_.number("target_ms")) {
      downtime.level = {*target, "target"};
      downtime.most = kOutOfRange * *target;
    }
    if (const auto actual = report_.number("switchover_ms")) downtime.outcome = {*actual, "actual"};
    return drawn(chart("Goodput", Unit::bytes_per_second, "goodput")) + drawn(ratio) +
           drawn(chart("Dirty rate", Unit::bytes_per_second, "dirty_rate")) +
           drawn(chart("Throttle", Unit::percent, "throttle")) +
           drawn(chart("Remaining", Unit::bytes, "remaining")) + drawn(flight) + drawn(downtime) +
           drawn(chart("Link rate, measured", Unit::bytes_per_second, "link_rate"));
  }

  // Empty if the chart has no values.
  std::string drawn(const Chart& chart) const {
    std::optional<double> highest;
    double last = 0;
    for (const Chart::Point& point : chart.points) {
      if (!point.value) continue;
      highest = std::max(highest.value_or(0), *point.value);
      last = *point.value;
    }
    if (!highest && !chart.outcome) return {};
    std::string summary;
    if (highest) {
      summary = fmt::format("<span>highest {}, last {}</span>", amount_text(chart.unit, *highest),
                            amount_text(chart.unit, last));
    }
    return fmt::format("<figure>\n<figcaption>{}{}</figcaption>\n{}</figure>\n", chart.title, summary,
                       svg(chart, messages_, duration_));
  }

  std::optional<Error> error_;
  const Fields report_;
  std::vector<Fields> timeline_;
  std::vector<double> times_;
  std::vector<Event> messages_;  // and traced events, in order of time
  double duration_ = 0;
};

}  // namespace

Result<std::string> page(std::string_view report, std::vector<Event> traced) {
  if (report.size() > kLargestReport) return fail("it has more than {} MiB", kLargestReport >> 20);
  try {
    return Page(nlohmann::json::parse(report), std::move(traced)).write();
  } catch (const nlohmann::json::exception& error) {
    return fail("it is not JSON: {}", error.what());
  }
}

}  // namespace wherry::look
