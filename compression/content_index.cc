#include "compression/content_index.h"

#include <algorithm>

namespace wherry {

namespace {

// Which of `count` buckets.
uint64_t place_of(uint64_t content, uint64_t count) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(content) * count >> 64);
}

}  // namespace

ContentIndex::ContentIndex(uint64_t bytes) : memory_(bytes), count_(memory_.size() / sizeof(Bucket)) {}

void ContentIndex::add(const KnownPage& page) {
  const uint64_t count = count_;
  if (count == 0) return;
  const uint64_t at = place_of(page.content, count);
  Lock lock(lock_of(at));
  Bucket& known = bucket(at);
  // Replaces the page with the same content, or else the oldest.
  auto out = std::find_if(known.begin(), known.end() - 1,
                          [&](const KnownPage& each) { return each.content == page.content; });
  std::move_backward(known.begin(), out, out + 1);
  known.front() = page;
}

std::optional<KnownPage> ContentIndex::find(uint64_t content) const {
  const uint64_t count = count_;
  if (count == 0) return std::nullopt;
  const uint64_t at = place_of(content, count);
  Lock lock(lock_of(at));
  for (const KnownPage& known : bucket(at)) {
    if (known.content == content) return known;
  }
  return std::nullopt;
}

// Whoever is in add() or find() meanwhile may lose a page, or find a torn one, which is wrong as any entry
// may be.
void ContentIndex::give_up() {
  count_ = 0;
  memory_.give_back(0, memory_.size());
}

}  // namespace wherry
