// Greets every caller of the destination: a source's control connection, its lanes, and a source that comes
// back for the last word (docs/wire-format.md: "Connections", "Refusal", "The last word").
//
//     waiting ─ hello ─▶ gathering ─ its last lane ─▶ complete
//        ▲                  │
//        └── the source left ┘
//
// Each caller is greeted by a thread of its own, so that nobody waits for another: lanes open side by side.
// There is one source. While it is there, and after its session has failed, all others are refused.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/failure.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "base/result.h"
#include "compression/keyed_hash.h"
#include "transport/fabric/fabric_domain.h"
#include "transport/fabric/fabric_wish.h"
#include "transport/lane/lane.h"
#include "transport/socket/connections.h"
#include "transport/socket/listener.h"
#include "transport/wire/control.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

class Greeter {
 public:
  struct Lane {
    std::unique_ptr<LaneReceiver> receiver;  // null: it has not come
    std::string no_fabric;                   // why it goes over TCP; empty: it goes over a fabric
  };
  struct Source {
    std::unique_ptr<Control> control;
    std::vector<Lane> lanes;
    std::chrono::seconds silence{0};                   // how long it waits for a peer that it cannot reach
    PageSecret secret{};                               // the key of its hashes of pages
    nlohmann::json wishes = nlohmann::json::object();  // what its hello asks for; nothing here reads it
  };
  // A source has come back for the last word, of which it has `heard` bytes. Called by that caller's thread.
  using ComesBack = std::function<void(FrameSocket& socket, uint64_t heard)>;

  // Lanes over a fabric are opened in `fabrics`, if `wish` allows them. If callers can no longer be accepted,
  // `failure` gets the reason.
  Greeter(const Listener& listener, FabricWish wish, FabricDomains& fabrics, ComesBack comes_back,
          Failure& failure);
  ~Greeter() { end(); }

  Result<> start();
  // Waits for a source with all its lanes. A peer that is not a valid source is refused, and the waiting goes
  // on. Fails if the listener was stopped, or if there is no descriptor or thread for a caller.
  Result<Source> await_source();
  // Accepts no more callers. Those that are being greeted are not disturbed.
  void stop_listening() { listener_.stop(); }
  // Disconnects all callers that are being greeted, and waits for their threads.
  void end();

 private:
  enum class Stage { waiting, gathering, complete };
  void run();
  void greet(Fd connection);
  void greet_control(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello);
  void greet_lane(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello);
  void greet_who_comes_back(std::unique_ptr<FrameSocket> socket, const nlohmann::json& question);

  const Listener& listener_;
  const FabricWish wish_;
  FabricDomains& fabrics_;
  const ComesBack comes_back_;
  Failure& failure_;
  Mutex mutex_;
  Condition changed_;
  Stage stage_ WHERRY_GUARDED_BY(mutex_) = Stage::waiting;
  std::optional<Error> closed_ WHERRY_GUARDED_BY(mutex_);  // why nobody is greeted any more
  std::string token_ WHERRY_GUARDED_BY(mutex_);            // of the source
  std::set<uint32_t> opening_ WHERRY_GUARDED_BY(mutex_);   // numbers of the lanes that a caller is opening
  // What has come of it; empty after await_source() has returned it.
  Source source_ WHERRY_GUARDED_BY(mutex_);
  std::optional<Connections> callers_;
  std::thread thread_;
};

}  // namespace wherry
