// The part of XDR (RFC 4506) that libvirt's RPC uses. Numbers are big-endian. A string, or opaque bytes, is a
// u32 length, the bytes, and zeros up to a multiple of four. An optional string is a u32 that is 0, or 1 and
// then the string.
//
// A reader never reads past the bytes that it was given. After the first value that does not fit, it stays
// broken and returns zeros and empty strings. Strings are views of the bytes. Not thread-safe.
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
  // Every value was well-formed, and all bytes were read.
  bool complete() const { return !broken_ && position_ == bytes_.size(); }

 private:
  std::span<const uint8_t> take(size_t length);

  std::span<const uint8_t> bytes_;
  size_t position_;
  bool broken_ = false;
};

// Append a value to `out`.
void put_u32(std::vector<uint8_t>& out, uint32_t value);
void put_string(std::vector<uint8_t>& out, std::string_view value);
void put_optional_string(std::vector<uint8_t>& out, std::optional<std::string_view> value);
// Appends bytes that are XDR already.
void put_bytes(std::vector<uint8_t>& out, std::span<const uint8_t> bytes);

}  // namespace wherry::libvirt
