#include "transport/source/outflow.h"

#include "transport/flow/idle_processors.h"

namespace wherry {
namespace {

// Slots for the largest flight, and for each channel one being filled and one half-way acknowledged.
constexpr size_t kSourceSlots = (kMostInFlight + kMostDiskInFlight) / kBatchBytes + 2 * kMaxChannels;

}  // namespace

Outflow::Outflow(const SourceOptions& options)
    : compression(options.compression),
      pool(kSourceSlots),
      window({.lanes = options.lanes, .downtime = options.downtime, .cap = kMostInFlight}),
      disk_window({.lanes = options.lanes, .downtime = options.downtime, .cap = kMostDiskInFlight}),
      pacer(static_cast<double>(options.bandwidth)),
      history(options.compression.history),
      chooser(options.compression, options.lanes, idle_processors),
      trace(options.trace) {}

void Outflow::lose_order() {
  no_deltas();
  outbox.lose_order();
}

void Outflow::no_deltas() {
  history.disable();
  chooser.no_deltas();
}

void Outflow::trace_encoding() {
  if (!trace) return;
  std::string now = chooser.describe();
  Lock lock(tracing);
  if (now == traced_encoding) return;
  trace("encoding", {{"encoding", now}, {"link_rate", chooser.rate()}});
  traced_encoding = std::move(now);
}

void Outflow::stop() {
  outbox.stop();
  pacer.stop();
  window.stop();
  disk_window.stop();
  pool.close();
}

}  // namespace wherry
