// What the destination's VMM says on the return path of the main channel, kept for a source that has lost its
// session: the VMM's word on how the migration went may not have arrived.
//
//   destination: said()*, closed() ─▶ tell(), whenever a source comes back
//   source:      hear_last_word(), until it has the word
//
// To both ends, what the VMM says is only bytes. The source passes them to its VMM as if they had come in
// time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/event.h"
#include "base/mutex.h"
#include "base/result.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

// The destination's part. Thread-safe.
class LastWord {
 public:
  // At least this many of the last bytes are kept. QEMU's last words are a dozen bytes, with TLS some
  // hundred.
  static constexpr size_t kKept = 64 * 1024;

  void said(std::span<const uint8_t> bytes);
  void closed();
  // For a source that has received the first `heard` bytes: sends the rest as it comes, and after closed()
  // the account. Returns when the source has confirmed the account or has left, or at stop().
  Result<> tell(FrameSocket& source, uint64_t heard, const std::function<nlohmann::json()>& account);
  // Whether a source has come back.
  bool asked() const;
  // Waits until the VMM has closed the main channel or a source has confirmed. Also returns at `until` and at
  // stop().
  void wait_closed(std::chrono::steady_clock::time_point until);
  // Waits until a source has confirmed, and returns whether one has. Also returns at `until` and at stop().
  bool wait_told(std::chrono::steady_clock::time_point until);
  void stop();

 private:
  mutable Mutex mutex_;
  Condition changed_;
  bool asked_ WHERRY_GUARDED_BY(mutex_) = false;
  uint64_t total_ WHERRY_GUARDED_BY(mutex_) = 0;
  std::vector<uint8_t> kept_ WHERRY_GUARDED_BY(mutex_);  // the last bytes of what was said
  bool closed_ WHERRY_GUARDED_BY(mutex_) = false;
  bool told_ WHERRY_GUARDED_BY(mutex_) = false;
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
};

// The source's part. It asks over a connection that it opens for that.
struct WordAsked {
  std::string token;                                // of the session
  std::string route;                                // as in the hello of the session
  uint64_t heard = 0;                               // bytes of the main channel's return path so far; updated
  std::function<void(std::vector<uint8_t>)> bytes;  // called with further bytes of it
  std::function<void()> closed;                     // called when the VMM has closed the main channel
};
// Returns the destination's account. Fails at `until`, and when `cancel` is raised.
Result<nlohmann::json> hear_last_word(FrameSocket& destination, WordAsked& asked,
                                      std::chrono::steady_clock::time_point until, const Event& cancel);

}  // namespace wherry
