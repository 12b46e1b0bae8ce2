// The source's end of a session: channels in, lanes out.
//
//   connect() → open_channel()* → each channel: record / pages … close → finish()
//
// Session and failure outlive the channels. A lane that dies is lost, and what it had goes over the others.
// All other errors while running, and the loss of the last lane, go to the Failure given, which ends every
// call.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/event.h"
#include "base/failure.h"
#include "base/reserve.h"
#include "transport/fabric/fabric_domain.h"
#include "transport/source/history_watch.h"
#include "transport/source/lane_roster.h"
#include "transport/source/outflow.h"
#include "transport/source/source_channel.h"
#include "transport/source/source_options.h"
#include "transport/wire/control.h"

namespace wherry {

class SourceSession {
 public:
  using Options = SourceOptions;
  // Called by the control thread. They must not block for long, because acknowledgements wait for them.
  struct WayBack {
    std::function<void(uint16_t channel, std::vector<uint8_t> bytes)> bytes;
    // `both_ways`: the destination's VMM reads nothing more from the channel either.
    std::function<void(uint16_t channel, bool both_ways)> closed;
    // The session fails, and the destination's VMM does not have the guest and will not get it. May be empty.
    std::function<void()> never_there;
  };
  struct Totals {
    uint64_t wire_bytes = 0;   // sent by this side, over all connections
    uint64_t guest_bytes = 0;  // of guest pages that were sent, zero pages included
    uint64_t disk_bytes = 0;   // of disks' channels that are acknowledged
    PageCounts pages;
    std::string encoding;        // the encodings that the chooser takes now
    double link_rate = 0;        // bytes a second that the network drains, measured or guessed
    bool link_measured = false;  // link_rate is measured
    double landing = 0;          // guest bytes a second at which pages that are sent again can land
    double on_way = 0;           // seconds until everything that is on its way now has arrived
    std::chrono::microseconds round_trip{0};
    uint64_t history_bytes = 0;
    uint64_t history_budget = 0;
    FlightWindow::State window;
    std::chrono::steady_clock::time_point placed;  // when the last bytes of the guest were placed
    std::vector<LaneRoster::Account> lanes;
  };

  // Connects control and all lanes.
  static Result<std::unique_ptr<SourceSession>> connect(const Options& options, WayBack way_back,
                                                        Failure& failure);
  ~SourceSession();

  // Null: the session has had as many channels as it can have.
  std::unique_ptr<SourceChannel> open_channel(ChannelKind kind);
  // To be called before the first bytes are sent with which the destination's VMM may be complete. If the
  // session is lost from then on, the destination waits for last_word().
  void say_may_have_it();
  // A buffer to read a channel into; null when the session is over.
  Slot take_slot() { return outflow_.pool.take(); }

  // After every channel's close(): waits until everything is acknowledged, exchanges accounts with the
  // destination, and returns the destination's. If the session failed, its first error.
  Result<nlohmann::json> finish(const nlohmann::json& account);
  // After finish() has failed: asks the destination, over new connections, for what its VMM has said on the
  // main channel and has not arrived here. That is handed to the WayBack. Returns the destination's account,
  // or why there is none by `until`. `cancel` ends the waiting.
  Result<nlohmann::json> last_word(std::chrono::steady_clock::time_point until, const Event& cancel);

  // The limit of all lanes together, from now on. 0: no limit.
  void set_bandwidth(uint64_t bytes_per_second) {
    outflow_.pacer.set_rate(static_cast<double>(bytes_per_second));
  }
  uint64_t bandwidth() const { return static_cast<uint64_t>(outflow_.pacer.rate()); }
  Totals totals() const;

 private:
  SourceSession(const Options& options, WayBack way_back, Failure& failure);
  Result<> start();
  void tell_chooser();
  void trace_lanes() const;
  void run_lane(size_t number);
  void lose(size_t lane, const Error& why);
  void over(size_t lane, LaneRoster::Side side);
  void run_control();
  Result<bool> handle(const FrameHead& head, std::vector<uint8_t> body);
  void acknowledge(Outbox::Acknowledged& acknowledged);

  const Options options_;
  const WayBack way_back_;
  Failure& failure_;
  std::unique_ptr<Control> control_;
  FabricDomains fabrics_;
  Outflow outflow_;
  HistoryWatch history_watch_{outflow_.history, outflow_.trace};
  LaneRoster lanes_;
  std::string token_;
  uint64_t heard_ = 0;  // bytes that came back on the main channel; the control thread's until it ends
  std::atomic<uint16_t> next_channel_ = 1;
  nlohmann::json peer_account_;  // written by the control thread before it ends
  std::vector<std::thread> threads_;
  Reserve reserve_;  // for last_word()
  Failure::Guard closer_;
};

}  // namespace wherry
