// The source's end of a session: channels in, lanes out.
//
//   connect() → open_channel()* → each channel: record / pages … close → finish()
//
// A SourceChannel is used by one thread, the reader of its connection. Session and failure outlive the
// channels. A lane that dies is lost, and what it had goes over the others. All other errors while running,
// and the loss of the last lane, go to the Failure given, which ends every call here.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "compression/batch_encoder.h"
#include "transport/flow/chooser.h"
#include "compression/compression.h"
#include "compression/page_history.h"
#include "transport/wire/channel.h"
#include "transport/wire/control.h"
#include "transport/fabric/fabric_domain.h"
#include "transport/fabric/fabric_wish.h"
#include "base/failure.h"
#include "transport/flow/flight_window.h"
#include "transport/lane/lane.h"
#include "transport/lane/outgoing_channel.h"
#include "transport/source/outbox.h"
#include "transport/flow/pacer.h"
#include "transport/fabric/rdma_ports.h"
#include "base/reserve.h"
#include "transport/lane/slots.h"
#include "transport/socket/endpoint.h"
#include "transport/lane/tcp_lane.h"

namespace wherry {

class SourceSession;

class SourceChannel : public OutgoingChannel {
 public:
  SourceChannel(SourceSession& session, uint16_t number, ChannelKind kind)
      : session_(session), number_(number), kind_(kind) {}

  // The right to hold up to `want` more bytes of the channel: see FlightWindow. Each byte taken is given
  // back, or charged to a frame below. 0: none now; with `wait`, the session is over.
  size_t take_room(size_t want, bool wait);
  void give_back(size_t bytes) override;

  void record(std::span<const uint8_t> bytes, Slot memory, uint16_t flags, uint32_t aux,
              size_t charge) override;
  void record(std::vector<uint8_t> bytes, uint16_t flags, uint32_t aux, size_t charge) override;
  void pages(PageBatch batch, Slot memory, size_t charge) override;
  void blocks(const GuestBlocks& blocks) override;
  // `both_ways`: the VMM takes nothing more of it either.
  void close(bool both_ways);
  // Waits until the destination has done with the last of these, or the session is over. If that was no
  // batch, it has done with all ahead of it.
  void await_landed();

  // Whether a frame that is sent now would have to wait: for a lane, or for so long behind what the network
  // has not sent yet.
  bool lanes_busy(std::chrono::microseconds wait) const;
  size_t batch_bytes() const override;

  uint16_t number() const { return number_; }
  ChannelKind kind() const { return kind_; }

 private:
  friend class SourceSession;
  FlightWindow& window() const;
  void send(OutFrame frame);
  void send_record(OutFrame frame, uint16_t flags, uint32_t aux, size_t charge);

  SourceSession& session_;
  const uint16_t number_;
  const ChannelKind kind_;
  uint64_t sequence_ = 0;
  uint32_t epoch_ = 0;
  bool pages_done_ = false;
};

class SourceSession {
 public:
  struct Options {
    std::vector<Endpoint> peers;  // lanes are spread over them; control goes to the first
    size_t lanes = 2;
    std::chrono::milliseconds downtime{300};
    std::chrono::seconds silence{30};  // how long the peer may be unreachable
    uint64_t bandwidth = 0;            // bytes a second of all lanes together, at most; 0: no limit
    Compression compression{};
    FabricWish fabric{};
    std::string route{};  // at a destination that serves several migrations at its port: which of them
    nlohmann::json wishes = nlohmann::json::object();  // for the other side's VMM glue, in the hello
  };
  // Called by the control thread; must not block for long: acknowledgements wait behind them.
  struct WayBack {
    std::function<void(uint16_t channel, std::vector<uint8_t> bytes)> bytes;
    // `both_ways`: the destination's VMM takes nothing more of the channel either.
    std::function<void(uint16_t channel, bool both_ways)> closed;
    // The session fails, and the destination's VMM does not have the guest, nor will it. May be empty.
    std::function<void()> never_there;
  };
  struct Totals {
    uint64_t wire_bytes = 0;
    uint64_t guest_bytes = 0;  // of pages, zero pages included
    uint64_t disk_bytes = 0;   // of disks' channels, acknowledged
    PageCounts pages;
    std::string encoding;        // what the chooser takes now
    double link_rate = 0;        // what it takes the network for, bytes a second,
    bool link_measured = false;  // which is a guess before
    double landing = 0;          // guest bytes a second that the lanes can land of pages that come again
    double on_way = 0;           // seconds that what is on its way to the destination takes to be there
    std::chrono::microseconds round_trip{0};
    uint64_t history_bytes = 0;
    uint64_t history_budget = 0;
    FlightWindow::State window;
    std::chrono::steady_clock::time_point placed;  // when the last bytes of the guest were
    struct Lane {
      std::string peer;
      uint64_t bytes = 0;
      std::string no_fabric;         // why it goes over TCP; empty: it goes over a fabric
      std::optional<RdmaPort> port;  // of this host, that it goes over, if the fabric has such
      std::string lost;              // why; empty: it is not
    };
    std::vector<Lane> lanes;
  };

  // Connects control and all lanes.
  static Result<std::unique_ptr<SourceSession>> connect(const Options& options, WayBack way_back,
                                                        Failure& failure);
  ~SourceSession();

  // Null: the session has had as many as it can.
  std::unique_ptr<SourceChannel> open_channel(ChannelKind kind);
  // To be called before the first bytes go with which the destination's VMM may be complete: if the session
  // is lost from then on, the destination awaits last_word().
  void say_may_have_it();
  // A buffer to read a channel into; null when the session is over.
  Slot take_slot() { return pool_.take(); }

  // After every channel's close(): waits until all is acknowledged, then takes leave of the destination and
  // returns its account of the session. An error is the session's first.
  Result<nlohmann::json> finish(const nlohmann::json& account);
  // After that has failed: asks the destination, over connections of its own, for what its VMM has said on
  // the main channel and did not come; it goes the way back. Returns the destination's account, or why there
  // is none by `until`; `cancel` ends the waiting.
  Result<nlohmann::json> last_word(std::chrono::steady_clock::time_point until, const Event& cancel);

  // From now on; 0: no limit.
  void set_bandwidth(uint64_t bytes_per_second) { pacer_.set_rate(static_cast<double>(bytes_per_second)); }
  uint64_t bandwidth() const { return static_cast<uint64_t>(pacer_.rate()); }
  Totals totals() const;

 private:
  friend class SourceChannel;
  // It is lost as soon as its worker, the kernel or the destination finds it dead. What it had goes over the
  // others only when neither end does anything with it any more: what was half-way could be placed late, on
  // top of newer pages.
  struct Lane {
    std::unique_ptr<LaneSender> sender;
    std::string no_fabric;  // why it goes over TCP
    std::optional<RdmaPort> port;
    std::string lost;         // why
    bool over_here = false;   // its worker posts nothing any more
    bool over_there = false;  // the destination places nothing of it any more
  };
  SourceSession(const Options& options, WayBack way_back, Failure& failure);
  // Thread-safe.
  Result<Lane> open_lane(size_t number, const Options& options, const std::string& token);
  Result<> open_lanes(const Options& options, const std::string& token);
  Result<> start();
  void tell_chooser();
  void lose_order();
  void no_deltas();
  void run_lane(size_t number);
  Result<> run_lane_until_end(size_t number);
  void lose(size_t lane, const Error& why);
  void over(size_t lane, bool Lane::*at_end);
  bool any_lost() const;
  Result<> send_batch(size_t lane, BatchEncoder& encoder, EncodedBatch& encoded, const OutFrame& frame);
  Result<> send_bytes(LaneSender& lane, BatchEncoder& encoder, const OutFrame& frame);
  Result<> post(LaneSender& lane, const FrameHeader& header, std::span<const uint8_t> table,
                std::span<const std::span<const uint8_t>> body);
  uint64_t bytes_waiting(const LaneSender& lane) const;
  bool network_busy(std::chrono::microseconds wait) const;
  Chooser::Population population(const PageBatch& batch) const;
  void count(const PageCounts& pages);
  void run_control();
  Result<bool> handle(const FrameHead& head, std::vector<uint8_t> body);

  const Options options_;
  const WayBack way_back_;
  Failure& failure_;
  std::unique_ptr<Control> control_;
  SlotPool pool_;
  std::string no_fabric_;  // why no lane can go over one; empty: some may
  FabricDomains fabrics_;
  mutable std::mutex losing_;  // guards what is said of the lanes
  std::vector<Lane> lanes_;
  FlightWindow window_;
  FlightWindow disk_window_;  // disks must not hold the room of the memory
  Outbox outbox_;
  Pacer pacer_;
  PageHistory history_;
  std::atomic<bool> blocks_sent_ = false;
  std::atomic<bool> done_ = false;  // all is acknowledged
  std::string token_;
  uint64_t heard_ = 0;  // bytes of the main channel's way back; the control thread's until it ends
  Chooser chooser_;
  std::atomic<uint16_t> next_channel_ = 1;
  std::atomic<uint64_t> guest_bytes_ = 0;
  std::atomic<uint64_t> disk_bytes_ = 0;
  std::atomic<std::chrono::steady_clock::time_point> placed_;
  mutable std::mutex counting_;
  PageCounts pages_;
  nlohmann::json peer_account_;  // written by the control thread before it ends
  std::vector<std::thread> threads_;
  Reserve reserve_;  // for last_word()
  Failure::Guard closer_;
};

}  // namespace wherry
