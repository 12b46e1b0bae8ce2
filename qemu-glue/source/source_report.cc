#include "qemu-glue/source/source_report.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace wherry {

SourceReport::SourceReport(const Uri& uri) : start_(std::chrono::steady_clock::now()) {
  report_.role = "source";
  report_.uri = uri.text;
  report_.downtime.target_ms = std::chrono::duration<double, std::milli>(uri.downtime).count();
}

double SourceReport::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void SourceReport::sample(const Sample& sample) {
  const SourceSession::Totals& totals = sample.totals;
  Lock lock(mutex_);
  report_.traffic = {.wire_bytes = totals.wire_bytes,
                     .guest_bytes = totals.guest_bytes,
                     .disk_bytes = totals.disk_bytes,
                     .pages = totals.pages,
                     .asked_again = {},
                     .bandwidth = sample.bandwidth,
                     .in_flight_max = totals.window.most_in_flight,
                     .in_flight_bound = totals.window.largest_bound};
  report_.history = {.bytes = totals.history_bytes, .budget = totals.history_budget};
  add_lanes(totals);
  report_.opaque = sample.opaque;
  report_.total_s = now();
  report_.passes = sample.passes;
  measure(sample.last_page);
  if (report_.passes) add_point(totals);
}

void SourceReport::add_lanes(const SourceSession::Totals& totals) {
  report_.lanes.resize(totals.lanes.size());
  for (size_t i = 0; i < totals.lanes.size(); ++i) {
    const auto& [peer, bytes, no_rdma, port, lost] = totals.lanes[i];
    if (!lost.empty() && !report_.lanes[i].lost) spdlog::warn("lane lost: number={} cause=\"{}\"", i, lost);
    report_.lanes[i] = {
        .peer = peer, .sent = bytes, .written = {}, .no_rdma = no_rdma, .port = port, .lost = !lost.empty()};
  }
}

void SourceReport::add_point(const SourceSession::Totals& totals) {
  std::optional<double> predicted_ms;
  if (report_.downtime.predicted) predicted_ms = report_.downtime.predicted->total() * 1000;
  std::optional<double> throttle;
  if (convergence_.throttle.percent) throttle = convergence_.throttle.percent->now;
  std::optional<double> ratio;
  if (totals.guest_bytes > 0 && totals.wire_bytes > 0)
    ratio = static_cast<double>(totals.guest_bytes) / static_cast<double>(totals.wire_bytes);
  report_.timeline.push_back(
      {.t = report_.total_s,
       .goodput = totals.window.goodput,
       .ratio = ratio,
       .in_flight = totals.window.in_flight,
       .encoding = totals.encoding,
       .link_rate = totals.link_measured ? std::optional(totals.link_rate) : std::nullopt,
       .remaining = convergence_.remaining,
       .dirty_rate = convergence_.dirty_rate,
       .throttle = throttle,
       .predicted_ms = predicted_ms});
}

void SourceReport::note(convergence::State state, const std::optional<LastPage>& last_page) {
  Lock lock(mutex_);
  convergence_ = std::move(state);
  report_.remaining = convergence_.remaining;
  report_.downtime.predicted = convergence_.predicted;
  measure(last_page);
  report_.throttle = convergence_.throttle;
  for (size_t i = report_.messages.size(); i < convergence_.messages.size(); ++i)
    report_.messages.push_back({report_.total_s, convergence_.messages[i]});
}

// The parts of the guest's absence that show here.
void SourceReport::measure(const std::optional<LastPage>& last_page) {
  if (!convergence_.stopped || !last_page) return;
  const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
  report_.downtime.measured =
      convergence::Downtime{.pages = seconds(last_page->handed_over - *convergence_.stopped),
                            .placed = seconds(last_page->placed - last_page->handed_over)};
}

void SourceReport::set_placement(Report::Placement placement) {
  Lock lock(mutex_);
  report_.placement = std::move(placement);
}

void SourceReport::end(const Ended& ended) {
  Lock lock(mutex_);
  report_.total_s = now();
  report_.ended = ended;
}

bool SourceReport::guest_stopped() const {
  Lock lock(mutex_);
  return convergence_.stopped.has_value();
}

Report SourceReport::report() const {
  Lock lock(mutex_);
  return report_;
}

}  // namespace wherry
