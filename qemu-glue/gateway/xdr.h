// XDR (RFC 4506), as far as libvirt's RPC uses it: big-endian numbers; a string, or opaque bytes, as a u32
// length, the bytes, and zeros up to a multiple of four; an optional string as a u32 that is 0 or 1, and then
// the string.
//
// A reader never leaves the bytes that it was given: once something does not fit, it is broken for good and
// reads zeros and empty strings. Strings are views of those bytes. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace wherry::libvirt {

class XdrReader {
 public:
  XdrReader(std::span<const uint8_t> bytes, size_t position) : bytes_(bytes), position_(position) {}

  uint32_t u32();
  uint64_t u64();
  std::string_view string();
  std::optional<std::string_view> optional_string();

  size_t position() const { return position_; }
  void give_up() { broken_ = true; }
  bool broken() const { return broken_; }
  // All was as it should be, and nothing is left.
  bool complete() const { return !broken_ && position_ == bytes_.size(); }

 private:
  std::span<const uint8_t> take(size_t length);

  std::span<const uint8_t> bytes_;
  size_t position_;
  bool broken_ = false;
};

// Append to what is written.
void put_u32(std::vector<uint8_t>& out, uint32_t value);
void put_string(std::vector<uint8_t>& out, std::string_view value);
void put_optional_string(std::vector<uint8_t>& out, std::optional<std::string_view> value);
// As they are: bytes that are XDR already.
void put_bytes(std::vector<uint8_t>& out, std::span<const uint8_t> bytes);

}  // namespace wherry::libvirt
