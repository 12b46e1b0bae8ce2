#include "compression/content_index.h"

#include <algorithm>

namespace wherry {

ContentIndex::ContentIndex(uint64_t bytes)
    : count_(bytes / sizeof(Bucket)), buckets_(static_cast<Bucket*>(std::calloc(count_, sizeof(Bucket)))) {
  if (!buckets_) count_ = 0;
}

void ContentIndex::add(const KnownPage& page) {
  if (count_ == 0) return;
  const uint64_t at = bucket_of(page.content);
  Lock lock(lock_of(at));
  Bucket& bucket = buckets_[at];
  // Replaces the page with the same content, or else the oldest.
  auto out = std::find_if(bucket.begin(), bucket.end() - 1,
                          [&](const KnownPage& known) { return known.content == page.content; });
  std::move_backward(bucket.begin(), out, out + 1);
  bucket.front() = page;
}

std::optional<KnownPage> ContentIndex::find(uint64_t content) const {
  if (count_ == 0) return std::nullopt;
  const uint64_t at = bucket_of(content);
  Lock lock(lock_of(at));
  for (const KnownPage& known : buckets_[at]) {
    if (known.content == content) return known;
  }
  return std::nullopt;
}

}  // namespace wherry
