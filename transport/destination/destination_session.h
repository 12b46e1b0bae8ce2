// The destination's end of a session: lanes in, channels out (to a LandingSite).
//
//     accept() ─▶ start() ─▶ lanes are read, the control connection is answered ─▶ finish()
//
// A lane that dies is lost: the source is told once nothing that came on it can be placed any more, and sends
// what is missing over the others. All other errors while running, and the loss of the last lane, go to the
// Failure given. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/failure.h"
#include "base/result.h"
#include "base/trace.h"
#include "transport/destination/greeter.h"
#include "transport/destination/landing.h"
#include "transport/destination/landing_site.h"
#include "transport/destination/word_keeper.h"
#include "transport/fabric/fabric_domain.h"
#include "transport/fabric/fabric_wish.h"
#include "transport/lane/slots.h"
#include "transport/socket/listener.h"
#include "transport/wire/frame.h"

namespace wherry {

class DestinationSession {
 public:
  struct Totals {
    uint64_t wire_bytes = 0;  // sent by this side
    Landing::Totals landing;
    struct Lane {
      std::string peer;
      std::string no_fabric;       // why it goes over TCP; empty: it goes over a fabric
      uint64_t written_bytes = 0;  // by the peer's device (RDMA), straight into place
    };
    std::vector<Lane> lanes;
    std::string fabric_trouble;  // why guest RAM could not be registered; empty: nothing is wrong
  };

  // Returns this side's account of the session. `source`: the source's account; empty if it has given none.
  using Account = std::function<nlohmann::json(const nlohmann::json& source)>;

  // Waits for one source with all its lanes. Further peers are refused, now and while the session runs.
  // `wish` says which fabrics lanes may go over.
  static Result<std::unique_ptr<DestinationSession>> accept(const Listener& listener, const FabricWish& wish,
                                                            LandingSite& site, Account account,
                                                            Failure& failure, Tracer trace = {});
  ~DestinationSession();

  // Starts the threads. The site must know the session by then, because they call the site.
  Result<> start();
  // The way back of a channel, from any thread. `both_ways`: the VMM reads nothing more from it either. After
  // the session has failed, bytes of the main channel are kept for keep_word().
  Result<> send_back(uint16_t channel, std::span<const uint8_t> bytes);
  Result<> close_back(uint16_t channel, bool both_ways);
  // The VMM can take pages now.
  void ready() { landing_.guest().ready(); }
  // The VMM takes nothing any more: what has not landed goes to the sinks, which can drop it.
  void gone() { landing_.guest().gone(); }

  // Waits for the end, and returns the source's account. If the session failed, its first error.
  Result<nlohmann::json> finish();
  // After finish() has failed: waits for a source that comes back to ask what the VMM has said on the main
  // channel, if one may come. Returns whether one was told.
  bool keep_word() { return word_.keep(silence()); }
  std::chrono::seconds silence() const { return source_.silence; }
  // Ends keep_word().
  void leave() { word_.stop(); }

  Totals totals() const;
  // The `wishes` of the source's hello; an object.
  const nlohmann::json& wishes() const { return source_.wishes; }

 private:
  DestinationSession(const Listener& listener, const FabricWish& wish, LandingSite& site, Account account,
                     Failure& failure, Tracer trace);
  void trace_lanes() const;
  void tell_last_word(FrameSocket& socket, uint64_t heard);
  void give_up();
  void run_lane(size_t number);
  void lose(size_t lane, const Error& why);
  void run_control();
  Result<bool> handle(const FrameHeader& header, std::vector<uint8_t> body);
  Result<> take_frame(const FrameHeader& header, std::vector<uint8_t> body);
  Result<> take_blocks(std::span<const uint8_t> body);
  Result<> take_done(std::span<const uint8_t> body);
  Result<> explained(Result<> sent);

  LandingSite& site_;
  const Account account_;
  Failure& failure_;
  const Tracer trace_;
  SlotPool slots_;
  FabricDomains fabrics_;
  WordKeeper word_;
  Greeter greeter_;
  Greeter::Source source_;  // complete, and unchanged, once accept() has returned
  Landing landing_;
  std::atomic<size_t> lanes_lost_ = 0;
  std::atomic<bool> done_ = false;  // the source has sent `done`
  nlohmann::json peer_account_;     // written by the control thread before it ends
  std::vector<std::thread> threads_;
  Failure::Guard closer_;
};

}  // namespace wherry
