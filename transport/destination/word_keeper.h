// Keeps the VMM's word on the main channel for a source that may come back for it, and knows for how long.
//
// When a session fails, its source may not have heard what the VMM said last, which may be that the guest
// runs here. Whether it is worth waiting for that source depends on where the guest is, on whether the source
// has said that it holds on, and on how the session ended (docs/architecture.md, "Who has the guest").
//
// Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>

#include "base/reserve.h"
#include "base/result.h"
#include "transport/destination/landing_site.h"
#include "transport/wire/frame_socket.h"
#include "transport/wire/last_word.h"

namespace wherry {

class WordKeeper {
 public:
  explicit WordKeeper(LandingSite& site) : site_(site) {}
  // Keeps the descriptors that telling a source takes, until give_up(). Before all else.
  Result<> reserve();

  // What the VMM says, and that it has closed the channel.
  void said(std::span<const uint8_t> bytes) { word_.said(bytes); }
  void closed() { word_.closed(); }
  // The source has said may_be_there: if all is lost it holds on, and asks.
  void source_holds() { source_holds_ = true; }
  // Its control connection ended with no reason given.
  void source_vanished() { source_vanished_ = true; }

  // The session has failed: gives the reserve back; where the guest is. Does not block.
  LandingSite::Guest give_up();
  // Whether the source may come back, if the guest is there.
  bool may_come_back(LandingSite::Guest guest) const;
  // Tells a source that has come back and has heard that many bytes: see LastWord.
  Result<> tell(FrameSocket& source, uint64_t heard, const std::function<nlohmann::json()>& account) {
    return word_.tell(source, heard, account);
  }
  // After give_up(): waits for a source to be told, at most that long; whether one was.
  bool keep(std::chrono::seconds longest);
  // Ends that, and all telling.
  void stop() { word_.stop(); }

 private:
  LandingSite& site_;
  LastWord word_;
  Reserve reserve_;
  std::atomic<bool> source_holds_ = false;
  std::atomic<bool> source_vanished_ = false;
};

}  // namespace wherry
