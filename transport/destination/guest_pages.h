// The guest's pages at the destination: where they are placed and when, and what batches refer to.
//
//     name_blocks() ─▶ open(): the pages of a batch may be placed at once
//                   └▶ wait_turn(): they waited for their epoch, or are relayed
//
// The site's Placement writes pages to guest memory. Without one, all pages are relayed, and copies of pages
// are kept where the source asks for it, so that later pages can be sent as a change of them. When a channel
// becomes opaque the placement is withdrawn: what has not landed by then is relayed.
//
// Thread-safe for different pages. Only the landing thread of a channel waits in wait_turn().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "compression/copy_mirror.h"
#include "compression/keyed_hash.h"
#include "compression/page_batch.h"
#include "transport/destination/landing_site.h"
#include "transport/flow/epoch_gate.h"
#include "transport/wire/channel.h"
#include "transport/wire/frame.h"

namespace wherry {

// How many bytes the copies of a guest whose pages are relayed may take. There is a fixed limit, because it
// is the source that says how large the guest is. `affordable` is the limit of this host.
uint64_t copies_budget(const PageSpace& space, uint64_t affordable);

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
    uint64_t copies_budget = 0;  // bytes; the most memory that copies may take
  };

  explicit GuestPages(LandingSite& site) : site_(site) {}

  // The RAM blocks that batches refer to, and the secret with which the source hashes their pages. Fails if
  // the peer sends a second list.
  Result<> name_blocks(const GuestBlocks& blocks, const PageSecret& secret);
  // Waits for the blocks; null when the session is over.
  const PageSpace* wait_blocks();
  // The guest RAM that pages may be written to, once the blocks are known.
  std::vector<std::span<uint8_t>> memory() const;
  // What the source may refer to, once the blocks are known: the map of the frame `bases`.
  nlohmann::json bases() const;

  // The VMM can take pages now.
  void ready() { gate_.ready(); }
  // The VMM takes nothing any more: no page is placed from here on, and nobody waits for a turn.
  void gone() { gate_.withdraw(); }
  // Ends all waiting, for good.
  void stop();

  // The placement, if it takes all pages of this frame's batch and they may land now; else null.
  Placement* open(const FrameHeader& header, const PageBatch& batch);
  // Waits until the batch may land.
  Turn wait_turn(const FrameHeader& header, const PageBatch& batch);
  // Null: all pages are relayed.
  Placement* placement() const;
  // Rebuilds in `scratch` the pages of a batch that refer to what is here, and checks the sums of all pages.
  // `in_order`: the batch lands in the order of epochs, so it can use and make copies. Returns false if what
  // is here is not what the batch refers to.
  Result<bool> complete(PageBatch& batch, bool in_order, std::vector<uint8_t>& scratch);
  // `channel` has delivered everything of `epoch`: see EpochGate.
  Result<> finish_epoch(uint16_t channel, uint32_t epoch, uint32_t participants);
  // A channel that may still carry pages becomes opaque with this record.
  Result<> go_opaque(const FrameHeader& record);

  Totals totals() const;

 private:
  // Set up when the blocks are known; unchanged after that.
  struct Ground {
    PageSpace space;
    PageSecret secret;
    std::unique_ptr<Placement> placement;
    std::unique_ptr<CopyMirror> copies;  // null if there is a placement
  };
  // Null before the blocks are known.
  const Ground* ground() const;
  // Said before the gate is asked, so that go_opaque() cannot miss a page that is landing right now.
  void may_place(const FrameHeader& header);

  LandingSite& site_;
  EpochGate gate_;
  mutable Mutex mutex_;
  Condition known_;
  std::optional<Ground> ground_ WHERRY_GUARDED_BY(mutex_);
  bool named_ WHERRY_GUARDED_BY(mutex_) = false;  // name_blocks() was called
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
  std::atomic<bool> placed_ = false;              // a page was placed, or is just being placed
  std::atomic<bool> placed_beside_main_ = false;  // the same of a page of another channel than main
  std::atomic<bool> withdrawn_ = false;
};

}  // namespace wherry
