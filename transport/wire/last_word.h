// What the destination's VMM says on the way back of the main channel, kept for a source that has lost its
// session: its word on how the migration went may be just what did not arrive.
//
//   destination: said()*, closed() ─▶ tell(), whenever a source comes back
//   source:      hear_last_word(), until it has it
//
// The words are bytes to both: the source hands them to its VMM as if they had come in time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/event.h"
#include "base/result.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

// The destination's part. Thread-safe.
class LastWord {
 public:
  // Of all that was said so much is kept: QEMU's last words are a dozen bytes, TLS makes some hundred of
  // them.
  static constexpr size_t kKept = 64 * 1024;

  void said(std::span<const uint8_t> bytes);
  void closed();
  // Tells a source that has heard that many bytes the rest as it comes, and after closed() the account. Ends
  // when the source confirms that it has it, or leaves, or at stop().
  Result<> tell(FrameSocket& source, uint64_t heard, const std::function<nlohmann::json()>& account);
  // Whether a source has come back, and is being told or was.
  bool asked() const;
  // Both wait until then at most, or for stop(): until the VMM has closed the main channel, or a source was
  // told;
  void wait_closed(std::chrono::steady_clock::time_point until);
  // until a source was told; whether it was.
  bool wait_told(std::chrono::steady_clock::time_point until);
  void stop();

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;
  uint64_t total_ = 0;
  std::vector<uint8_t> kept_;  // the last of them
  bool closed_ = false;
  bool told_ = false;
  bool stopped_ = false;
};

// The source's part: asks over a connection of its own.
struct WordAsked {
  std::string token;                                // of the session
  std::string route;                                // as in its hello
  uint64_t heard = 0;                               // bytes of the main channel's way back so far; counts on
  std::function<void(std::vector<uint8_t>)> bytes;  // more of them
  std::function<void()> closed;                     // the VMM has closed the main channel
};
// Returns the destination's account. `until`, and `cancel`, bound the waiting.
Result<nlohmann::json> hear_last_word(FrameSocket& destination, WordAsked& asked,
                                      std::chrono::steady_clock::time_point until, const Event& cancel);

}  // namespace wherry
