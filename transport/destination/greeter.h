// Greets whoever calls at the destination: a source's control connection, its lanes, and a source that comes
// back for the last word (docs/wire-format.md: "Connections", "Refusal").
//
//     waiting ─ hello ─▶ gathering ─ its last lane ─▶ complete
//        ▲                  │
//        └── the source left ┘
//
// Each caller is greeted by a thread of its own, so that nobody waits for another: lanes open side by side.
// There is one source. While it is there others are refused, also after it has failed.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/failure.h"
#include "base/fd.h"
#include "base/result.h"
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
    std::chrono::seconds silence{0};                   // for which it waits for a peer that it cannot reach
    nlohmann::json wishes = nlohmann::json::object();  // of its glue
  };
  // A source has come back for the last word, and has heard that many bytes. Called by its caller's thread.
  using ComesBack = std::function<void(FrameSocket& socket, uint64_t heard)>;

  // Lanes over a fabric are opened in `fabrics`, if `wish` allows them. `failure` learns that no more callers
  // can be taken, and why.
  Greeter(const Listener& listener, FabricWish wish, FabricDomains& fabrics, ComesBack comes_back,
          Failure& failure);
  ~Greeter() { end(); }

  Result<> start();
  // Waits for a source with all its lanes. A peer that is not a valid source is refused, and the waiting goes
  // on. An error: the listener was stopped, or has no room for one that calls.
  Result<Source> await_source();
  // Takes no more callers; those who are being greeted go on.
  void stop_listening() { listener_.stop(); }
  // Hangs up on all callers; when it returns, none is being greeted any more.
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
  std::mutex mutex_;  // guards what follows, except the callers and the thread
  std::condition_variable changed_;
  Stage stage_ = Stage::waiting;
  std::optional<Error> closed_;  // why nobody is greeted any more
  std::string token_;            // of the source
  std::set<uint32_t> opening_;   // numbers of the lanes that a caller is opening
  Source source_;                // as much of it as has come; nothing once it is complete and was taken
  std::optional<Connections> callers_;
  std::thread thread_;
};

}  // namespace wherry
