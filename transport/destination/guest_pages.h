// The guest's pages at the destination: where they are placed and when, and what batches refer to.
//
//     name_blocks() ─▶ open(): the pages of a batch may be placed at once
//                   └▶ wait_turn(): they waited for their epoch, or are relayed
//
// The site's Placement writes pages to guest memory. Without one, all pages are relayed, and copies are kept
// of those that later pages are a change of. When a channel becomes opaque the placement is withdrawn: what
// has not landed by then is relayed.
//
// Thread-safe for different pages. Only the landing thread of a channel waits in wait_turn().
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "compression/copy_mirror.h"
#include "compression/keyed_hash.h"
#include "compression/page_batch.h"
#include "transport/destination/landing_site.h"
#include "transport/flow/epoch_gate.h"
#include "transport/wire/channel.h"
#include "transport/wire/frame.h"

namespace wherry {

class GuestPages {
 public:
  // When a batch may land.
  enum class Turn {
    in_order,  // its epoch is open
    any,       // epochs have no order any more, or the batch does not need it
    stopped,   // never: the session is over
  };
  struct Totals {
    bool withdrawn = false;      // pages are no longer placed, because a channel became opaque
    uint64_t copies_bytes = 0;   // memory of the copies that are kept now
    uint64_t copies_budget = 0;  // bytes; the most that it may become
  };

  explicit GuestPages(LandingSite& site) : site_(site) {}

  // The RAM blocks that batches refer to, and the secret that the source hashes their pages with. Once: a
  // second list is the peer's error.
  Result<> name_blocks(const GuestBlocks& blocks, const PageSecret& secret);
  // Waits for the blocks; null when the session is over.
  const PageSpace* wait_blocks();
  // The guest RAM that pages may be written to, once the blocks are known.
  std::vector<std::span<uint8_t>> memory() const;
  // What the source may refer to, once the blocks are known: the map of the frame `bases`.
  nlohmann::json bases() const;

  // The VMM can take pages now.
  void ready() { gate_.ready(); }
  // It takes nothing any more: no page is placed from here on, and nobody waits for a turn.
  void gone() { gate_.withdraw(); }
  // Ends all waiting, for good.
  void stop();

  // The placement, if it takes all pages of this frame's batch and they may land now; else null.
  Placement* open(const FrameHeader& header, const PageBatch& batch);
  // Waits until the batch may land.
  Turn wait_turn(const FrameHeader& header, const PageBatch& batch);
  // Null: all pages are relayed.
  Placement* placement() const;
  // Makes whole pages of a batch that refers to what is here, in `scratch`, and checks their sums.
  // `in_order`: it lands in the order of epochs, so it may use and make copies. False: what is here is not
  // what the batch refers to.
  Result<bool> complete(PageBatch& batch, bool in_order, std::vector<uint8_t>& scratch);
  // That channel has delivered everything of `epoch`: see EpochGate.
  void finish_epoch(uint16_t channel, uint32_t epoch, uint32_t participants) {
    gate_.finish(channel, epoch, participants);
  }
  // With this record a channel becomes opaque that may still carry pages.
  Result<> go_opaque(const FrameHeader& record);

  Totals totals() const;

 private:
  // What is set up when the blocks are known, and stays.
  struct Ground {
    PageSpace space;
    PageSecret secret;
    std::unique_ptr<Placement> placement;
    std::unique_ptr<CopyMirror> copies;  // null where there is a placement
  };
  // Null before the blocks are known.
  const Ground* ground() const;

  LandingSite& site_;
  EpochGate gate_;
  mutable std::mutex mutex_;
  std::condition_variable known_;
  std::optional<Ground> ground_;
  bool named_ = false;  // name_blocks() was called
  bool stopped_ = false;
  std::atomic<bool> placed_ = false;              // a page was placed, or may be by now
  std::atomic<bool> placed_beside_main_ = false;  // one of another channel than main
  std::atomic<bool> withdrawn_ = false;
};

}  // namespace wherry
