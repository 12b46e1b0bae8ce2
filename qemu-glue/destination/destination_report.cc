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
  report_.placement = {.how = way == GuestRam::Way::mapped ? "direct-mapped" : "direct-process",
                       .reason = ""};
  spdlog::info("placement: {}", report_.placement.how);
}

void DestinationReport::relay(const std::string& why) {
  Lock lock(mutex_);
  report_.placement = {.how = kRelay, .reason = why};
  spdlog::info("placement: {} ({})", kRelay, why);
}

void DestinationReport::add(const DestinationSession::Totals& totals) {
  Lock lock(mutex_);
  report_.traffic.wire_bytes = totals.wire_bytes;
  report_.traffic.asked_again = totals.landing.asked_again;
  report_.history = {.bytes = totals.landing.guest.copies_bytes,
                     .budget = totals.landing.guest.copies_budget};
  for (const auto& [peer, no_rdma, written] : totals.lanes)
    report_.lanes.push_back(
        {.peer = peer, .sent = {}, .written = written, .no_rdma = no_rdma, .port = {}, .lost = false});
}

void DestinationReport::end(const Ended& ended) {
  Lock lock(mutex_);
  report_.total_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  report_.ended = ended;
}

nlohmann::json DestinationReport::account(const Ended& ended, bool withdrawn) {
  Lock lock(mutex_);
  Report::Placement& placement = report_.placement;
  if (placement.how.empty())
    placement = {.how = kRelay, .reason = "the main channel is opaque from its beginning"};
  if (withdrawn && placement.how != kRelay) placement = {.how = kRelay, .reason = "a channel became opaque"};
  return {{"outcome", name(ended.outcome)},
          {"detail", ended.detail},
          {"placement", placement.how},
          {"placement_reason", placement.reason}};
}

Report DestinationReport::report() const {
  Lock lock(mutex_);
  return report_;
}

}  // namespace wherry
