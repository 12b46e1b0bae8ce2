#include "compression/keyed_hash.h"

#include <xxh_x86dispatch.h>

#include <algorithm>

#include "base/random_key.h"

namespace wherry {
namespace {

static_assert(kHalfSecret >= XXH3_SECRET_SIZE_MIN);

uint64_t hash_under(const uint8_t* half, const uint8_t* page, uint32_t page_size) {
  return XXH3_64bits_withSecret(page, page_size, half, kHalfSecret);
}

}  // namespace

// The kernel's bytes are as random as XXH3 wants a secret to be. XXH3_generateSecret() would make no better
// ones, and others in each version of the library.
PageSecret draw_secret() {
  PageSecret secret;
  for (auto at = secret.begin(); at != secret.end();) {
    const auto half = random_key<kHalfSecret>();
    at = std::copy(half.begin(), half.end(), at);
  }
  return secret;
}

uint64_t hash_page(const uint8_t* page, uint32_t page_size, const PageSecret& secret) {
  return hash_under(secret.data(), page, page_size);
}

ContentHash hash_content(const uint8_t* page, uint32_t page_size, const PageSecret& secret) {
  return {hash_under(secret.data(), page, page_size),
          hash_under(secret.data() + kHalfSecret, page, page_size)};
}

}  // namespace wherry
