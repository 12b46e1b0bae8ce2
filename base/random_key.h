// Bytes that nobody can guess, from the kernel.
#pragma once

#include <sys/random.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace wherry {

template <size_t N>
std::array<uint8_t, N> random_key() {
  static_assert(N <= 256, "getrandom(2) returns up to 256 bytes in full or not at all");
  std::array<uint8_t, N> key{};
  while (::getrandom(key.data(), N, 0) != static_cast<ssize_t>(N)) {
  }
  return key;
}

}  // namespace wherry
