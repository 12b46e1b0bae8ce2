// Reads QEMU's return path: messages of u16 type, u16 length, payload, from destination to source.
//
// Passes bytes on as they come, but for one message that Wherry has caused itself: the PONG to its own PING.
// It also notes how the destination ends the migration. Not thread-safe. What cannot be a message (TLS) ends
// its reading: that and all behind it is passed on.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace wherry::qemu {

// The value of the PING that Wherry puts into the stream: no number that QEMU uses (0…4, 0x42).
inline constexpr uint32_t kOwnPing = 0x57485259;

class ReturnPath {
 public:
  // Takes the next bytes and appends to `out` what is to be passed on.
  void feed(std::span<const uint8_t> bytes, std::vector<uint8_t>& out);

  // Whether the PONG to Wherry's PING has come: the destination stands past everything ahead of it.
  bool ponged() const { return ponged_; }
  // The value of SHUT, once it has come: 0 if the destination has the guest.
  std::optional<uint32_t> shut() const { return shut_; }
  // Whether the destination runs the guest without having all of it: it has asked for pages, or answered the
  // PING that follows the package of postcopy.
  bool fetches() const { return fetches_; }

 private:
  void message(std::vector<uint8_t>& out);

  std::vector<uint8_t> partial_;  // a message that is not there yet as a whole
  uint64_t raw_left_ = 0;         // bytes behind a RECV_BITMAP that belong to no message
  bool bitmap_size_next_ = false;
  bool ponged_ = false;
  std::optional<uint32_t> shut_;
  bool fetches_ = false;
};

}  // namespace wherry::qemu
