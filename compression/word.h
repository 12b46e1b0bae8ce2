// Eight bytes as one word, in native byte order. They need not be aligned.
#pragma once

#include <cstdint>
#include <cstring>

namespace wherry {

inline uint64_t word_at(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace wherry
