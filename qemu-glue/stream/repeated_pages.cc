#include "qemu-glue/stream/repeated_pages.h"

namespace wherry::qemu {
namespace {

constexpr size_t kMostEdges = 32 * 1024;

}  // namespace

bool RepeatedPages::repeats(uint32_t epoch, uint16_t block, uint64_t page, Edge edge) {
  Lock lock(mutex_);
  const auto [noted, is_new] = edges_.try_emplace({epoch, block, page}, edge);
  if (!is_new) return noted->second != edge;
  if (edges_.size() > kMostEdges) edges_.erase(edges_.begin());
  return false;
}

}  // namespace wherry::qemu
