// What lies between the channels and the lanes of a session: buffers, the windows, the outbox, the pacer, and
// what decides how pages are encoded.
//
// Thread-safe, as its members are.
#pragma once

#include <atomic>
#include <string>

#include "base/mutex.h"
#include "base/trace.h"
#include "compression/page_history.h"
#include "transport/flow/chooser.h"
#include "transport/flow/flight_window.h"
#include "transport/flow/pacer.h"
#include "transport/lane/slots.h"
#include "transport/source/outbox.h"
#include "transport/source/source_figures.h"
#include "transport/source/source_options.h"
#include "transport/wire/channel.h"

namespace wherry {

// The most bytes ever in flight: of memory (reached at 15 GB/s with the usual downtime target), and of disks.
inline constexpr size_t kMostInFlight = 128 * 1024 * 1024;
inline constexpr size_t kMostDiskInFlight = 32 * 1024 * 1024;

struct Outflow {
  explicit Outflow(const SourceOptions& options);

  FlightWindow& window_of(ChannelKind kind) { return kind == ChannelKind::disk ? disk_window : window; }
  // From now on pages can reach the destination's VMM out of the order of their epochs, or without being seen
  // here.
  void lose_order();
  void no_deltas();
  // Traces which encodings the chooser takes, if that has changed.
  void trace_encoding();
  // Ends all calls, for good.
  void stop();

  Compression compression;
  SlotPool pool;
  FlightWindow window;
  FlightWindow disk_window;  // disks must not take the room of the guest's memory
  Outbox outbox;
  Pacer pacer;
  PageHistory history;
  Chooser chooser;
  SourceFigures figures;
  std::atomic<bool> blocks_sent = false;
  Tracer trace;
  Mutex tracing;
  std::string traced_encoding WHERRY_GUARDED_BY(tracing);  // the last
};

}  // namespace wherry
