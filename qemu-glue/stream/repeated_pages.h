// Finds pages that QEMU 7.2 sends twice: the page that fills a multifd packet may come once more at the head
// of another packet, on another channel, in the same epoch. (multifd_queue_page() looks at a packet that it
// has already given to a channel's thread.) Only one of the two may be carried, because lanes keep no order
// within an epoch. The other can be left out: if the page changed in between, it is dirty and comes again in
// a later epoch.
//
// Holds the edges of the latest ten thousand packets or so. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>

#include "base/mutex.h"

namespace wherry::qemu {

class RepeatedPages {
 public:
  enum class Edge { head, end };  // first page of a packet; last page of a full packet

  // Notes a page at an edge of a packet. True if the page was noted at the other edge of another packet in
  // the same epoch.
  bool repeats(uint32_t epoch, uint16_t block, uint64_t page, Edge edge);

 private:
  Mutex mutex_;
  std::map<std::tuple<uint32_t, uint16_t, uint64_t>, Edge> edges_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry::qemu
