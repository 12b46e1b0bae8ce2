// The destination's end of a session: lanes in, channels out (to a LandingSite).
//
// accept() waits for one source; while the session runs, further peers are refused. Whoever calls is greeted
// by a thread of its own, so that nobody waits for another: lanes open side by side. A lane that dies is
// lost: the source is told once nothing that came on it can be placed any more, and sends what is missing
// over the others. All other errors while running, and the loss of the last lane, go to the Failure given.
// Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/failure.h"
#include "base/reserve.h"
#include "transport/destination/landing.h"
#include "transport/fabric/fabric_domain.h"
#include "transport/lane/lane.h"
#include "transport/lane/slots.h"
#include "transport/socket/connections.h"
#include "transport/socket/listener.h"
#include "transport/wire/channel.h"
#include "transport/wire/control.h"
#include "transport/wire/last_word.h"

namespace wherry {

class DestinationSession {
 public:
  struct Totals {
    uint64_t wire_bytes = 0;  // sent by this side
    Landing::Totals landing;
    struct Lane {
      std::string peer;
      std::string no_fabric;       // why it goes over TCP; empty: it goes over a fabric
      uint64_t written_bytes = 0;  // by the peer, straight into place
    };
    std::vector<Lane> lanes;
    std::string fabric_trouble;  // why guest RAM could not be registered; empty: nothing is wrong
  };

  // This side's account of the session, when the source has given its own (empty: it has not).
  using Account = std::function<nlohmann::json(const nlohmann::json& source)>;

  // Waits for a source with all its lanes. A peer that is not a sound source is refused, and the waiting goes
  // on; where there is no room for one that calls, it ends.
  static Result<std::unique_ptr<DestinationSession>> accept(const Listener& listener, LandingSite& site,
                                                            Account account, Failure& failure);
  ~DestinationSession();

  // Starts the work; `this` must be known to the site before.
  Result<> start();
  // The way back of a channel, from any thread; `both_ways`: the VMM takes nothing more of it either. What
  // comes when the session has failed is kept for keep_word().
  Result<> send_back(uint16_t channel, std::span<const uint8_t> bytes);
  Result<> close_back(uint16_t channel, bool both_ways);
  // The VMM can take pages now.
  void ready() { landing_.guest().ready(); }
  // It takes nothing any more: what has not landed goes to the sinks, which may drop it.
  void gone() { landing_.guest().gone(); }

  // Waits for the end; returns the source's account. An error is the session's first.
  Result<nlohmann::json> finish();
  // After that has failed: waits for a source that comes back to ask what the VMM has said on the main
  // channel, as long as one may; whether it was told.
  bool keep_word();
  std::chrono::seconds silence() const { return silence_; }
  // Ends that.
  void leave() { word_.stop(); }

  Totals totals() const;
  // What the source asked for in its hello; an object.
  const nlohmann::json& wishes() const { return wishes_; }

 private:
  DestinationSession(const Listener& listener, LandingSite& site, Account account, Failure& failure);
  void greet_callers();
  void greet(Fd connection);
  void greet_control(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello);
  void greet_lane(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello);
  void greet_asking(std::unique_ptr<FrameSocket> socket, const nlohmann::json& question);
  bool lanes_missing() const;
  void run_lane(size_t number);
  void lose(size_t lane, const Error& why);
  void run_control();
  Result<> take_frame(const FrameHeader& header, std::vector<uint8_t> body);
  Result<> take_blocks(std::span<const uint8_t> body);
  Result<> explained(Result<> sent);

  const Listener& listener_;
  LandingSite& site_;
  const Account account_;
  Failure& failure_;
  SlotPool pool_;
  FabricDomains fabrics_;
  std::mutex greeting_;  // guards what follows, of which only `closed_` may change once no lane is missing
  std::condition_variable greeted_;
  std::optional<Error> closed_;  // why nobody is greeted any more
  std::string token_;
  std::unique_ptr<Control> control_;
  std::chrono::seconds silence_{0};  // how long the source may be
  struct Lane {
    bool opening = false;                    // a caller is at it
    std::unique_ptr<LaneReceiver> receiver;  // null: it has not come
    std::string no_fabric;                   // why it goes over TCP
  };
  std::vector<Lane> lanes_;
  nlohmann::json wishes_ = nlohmann::json::object();

  LastWord word_;
  Landing landing_;
  std::atomic<size_t> lanes_lost_ = 0;
  std::atomic<bool> done_ = false;
  std::atomic<bool> source_holds_ = false;  // it has said may_be_there
  std::atomic<bool> source_vanished_ = false;
  nlohmann::json peer_account_;  // written by the control thread before it ends
  std::vector<std::thread> threads_;
  std::optional<Connections> callers_;
  std::thread greeter_;  // of greet_callers()
  Reserve reserve_;      // for a source that asks for the last word
  Failure::Guard closer_;
};

}  // namespace wherry
