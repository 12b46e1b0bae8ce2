// Integers in the bytes of a stream: big-endian (be, put_be), as QEMU and libvirt write them, and
// little-endian (get_le, put_le), as Wherry does. The bytes need not be aligned.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wherry {

inline uint16_t be16(const uint8_t* at) {
  return static_cast<uint16_t>(at[0] << 8 | at[1]);
}
inline uint32_t be32(const uint8_t* at) {
  return static_cast<uint32_t>(be16(at)) << 16 | be16(at + 2);
}
inline uint64_t be64(const uint8_t* at) {
  return static_cast<uint64_t>(be32(at)) << 32 | be32(at + 4);
}
inline void put_be32(uint8_t* at, uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}
inline void put_be64(uint8_t* at, uint64_t value) {
  put_be32(at, static_cast<uint32_t>(value >> 32));
  put_be32(at + 4, static_cast<uint32_t>(value));
}

// `bytes` is the width of the number, at most 8.
inline uint64_t get_le(const uint8_t* at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= uint64_t{at[i]} << (8 * i);
  return value;
}
inline void put_le(uint8_t* at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) at[i] = static_cast<uint8_t>(value >> (8 * i));
}
template <class T>
T get_le(const uint8_t* at) {
  return static_cast<T>(get_le(at, sizeof(T)));
}
template <class T>
void put_le(uint8_t* at, T value) {
  put_le(at, value, sizeof(T));
}

}  // namespace wherry
