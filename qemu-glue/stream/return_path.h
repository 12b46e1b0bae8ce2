// Reads QEMU's return path: messages of u16 type, u16 length, payload, from destination to source.
//
// Passes bytes on unchanged, except for the PONG to Wherry's own PING, which it drops. Also notes how the
// destination ends the migration. From the first bytes that cannot be a message (TLS), everything is passed
// on unread. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace wherry::qemu {

// The value of the PING that Wherry puts into the stream. QEMU does not use it: its own are 0…4 and 0x42.
inline constexpr uint32_t kOwnPing = 0x57485259;

class ReturnPath {
 public:
  // Reads the next bytes and appends to `out` those to pass on.
  void feed(std::span<const uint8_t> bytes, std::vector<uint8_t>& out);

  // Whether the PONG to Wherry's PING has come: the destination has read everything before the PING.
  bool ponged() const { return ponged_; }
  // The value of SHUT, once it has come: 0 if the destination has the guest.
  std::optional<uint32_t> shut() const { return shut_; }
  // Whether the destination runs the guest without all of its pages: it has asked for pages, or answered the
  // PING after postcopy's package.
  bool fetches() const { return fetches_; }

 private:
  void message(std::vector<uint8_t>& out);

  std::vector<uint8_t> partial_;  // an incomplete message
  uint64_t raw_left_ = 0;         // bytes ahead that are not messages: a bitmap, or all the rest
  bool bitmap_size_next_ = false;
  bool ponged_ = false;
  std::optional<uint32_t> shut_;
  bool fetches_ = false;
};

}  // namespace wherry::qemu
