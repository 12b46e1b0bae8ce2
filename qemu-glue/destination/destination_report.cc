#include "qemu-glue/destination/destination_report.h"

#include <spdlog/spdlog.h>

namespace wherry {
namespace {

constexpr const char* kRelay = "relay";

}  // namespace

DestinationReport::DestinationReport(const Uri& listen) : start_(std::chrono::steady_clock::now()) {
  report_.role = "destination";
  report_.uri = listen.text;
}

void DestinationReport::place_directly(GuestRam::Way way) {
  Lock lock(mutex_);
  set_placement(way == GuestRam::Way::mapped ? "direct-mapped" : "direct-process", "");
  spdlog::info("placement: {}", report_.placement);
}

void DestinationReport::relay(const std::string& why) {
  Lock lock(mutex_);
  set_placement(kRelay, why);
  spdlog::info("placement: {} ({})", kRelay, why);
}

void DestinationReport::set_placement(const std::string& placement, const std::string& reason) {
  report_.placement = placement;
  report_.placement_reason = reason;
}

void DestinationReport::add(const DestinationSession::Totals& totals) {
  Lock lock(mutex_);
  report_.wire_bytes = totals.wire_bytes;
  report_.asked_again = totals.landing.asked_again;
  report_.history_bytes = totals.landing.guest.copies_bytes;
  report_.history_budget = totals.landing.guest.copies_budget;
  for (const auto& [peer, no_rdma, written] : totals.lanes)
    report_.lanes.push_back(
        {.peer = peer, .sent = {}, .written = written, .no_rdma = no_rdma, .port = {}, .lost = false});
}

void DestinationReport::end(const Ended& ended) {
  Lock lock(mutex_);
  report_.total_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  report_.outcome = ended.outcome;
  report_.error = ended.detail;
}

nlohmann::json DestinationReport::account(const Ended& ended, bool withdrawn) {
  Lock lock(mutex_);
  if (report_.placement.empty()) set_placement(kRelay, "the main channel is opaque from its beginning");
  if (withdrawn && report_.placement != kRelay) set_placement(kRelay, "a channel became opaque");
  return {{"outcome", name(ended.outcome)},
          {"detail", ended.detail},
          {"placement", report_.placement},
          {"placement_reason", report_.placement_reason}};
}

Report DestinationReport::report() const {
  Lock lock(mutex_);
  return report_;
}

}  // namespace wherry
