// The secret that tests hash pages with where any will do.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/keyed_hash.h"

namespace wherry::test {

// Byte i is i modulo 256, as in the example of docs/wire-format.md.
inline constexpr PageSecret kSampleSecret = [] {
  PageSecret secret{};
  for (size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<uint8_t>(i);
  return secret;
}();

}  // namespace wherry::test
