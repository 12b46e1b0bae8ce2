// Keeps what the VMM says on the main channel for a source that may come back for it, and decides how long to
// wait for that source.
//
// When a session fails, its source may not have heard what the VMM said last, for example that the guest runs
// here. Whether to wait for that source depends on where the guest is, on whether the source has sent
// may_be_there, and on how the session ended (docs/architecture.md, "Who has the guest").
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
  // Sets aside the descriptors that telling a source takes, until give_up(). To be called first.
  Result<> reserve();

  // The VMM says this on the main channel; it has closed that channel.
  void said(std::span<const uint8_t> bytes) { word_.said(bytes); }
  void closed() { word_.closed(); }
  // The source has sent may_be_there: if it loses its connections it holds its VMM's, and comes to ask.
  void source_holds() { source_holds_ = true; }
  // The source's control connection ended, and no reason was given.
  void source_vanished() { source_vanished_ = true; }

  // The session has failed: releases the descriptors, and returns where the guest is. Does not block.
  LandingSite::Guest give_up();
  // Whether the source may come back, given where the guest is.
  bool may_come_back(LandingSite::Guest guest) const;
  // Tells a source that has come back, and has `heard` bytes already: see LastWord.
  Result<> tell(FrameSocket& source, uint64_t heard, const std::function<nlohmann::json()>& account) {
    return word_.tell(source, heard, account);
  }
  // After give_up(): waits until a source was told, at most `longest`. Returns whether one was.
  bool keep(std::chrono::seconds longest);
  // Ends keep() and tell().
  void stop() { word_.stop(); }

 private:
  LandingSite& site_;
  LastWord word_;
  Reserve reserve_;
  std::atomic<bool> source_holds_ = false;
  std::atomic<bool> source_vanished_ = false;
};

}  // namespace wherry
