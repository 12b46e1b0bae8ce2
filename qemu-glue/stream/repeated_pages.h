// Pages that QEMU 7.2 sends twice: the page that fills a multifd packet may come once more at the head of
// another packet, on another channel, in the same epoch. (multifd_queue_page() looks at a packet that it has
// given to a channel's thread already.) One of the two need not be carried: if the page has changed in
// between, it is dirty, and comes again in a later epoch. And it must not be, because within an epoch lanes
// keep no order.
//
// Holds the edges of some ten thousand packets, the latest. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <tuple>

namespace wherry::qemu {

class RepeatedPages {
 public:
  enum class Edge { head, end };  // of a packet; the end only of a full one

  // Notes a page at the edge of a packet. True if it was noted at another packet's other edge in this epoch.
  bool repeats(uint32_t epoch, uint16_t block, uint64_t page, Edge edge);

 private:
  std::mutex mutex_;
  std::map<std::tuple<uint32_t, uint16_t, uint64_t>, Edge> edges_;
};

}  // namespace wherry::qemu
