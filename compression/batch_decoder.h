// Turns what came over the wire into pages again, in three steps, because what a page refers to may have to
// land first:
//
//   unpack()  the pack's plain bytes
//   view()    where each page, or what is said of it, lies in them
//   resolve() whole pages, from what the destination holds and what is said of them
//
// All input is hostile: lengths are checked before they are used. A decoder is used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "compression/batch_encoder.h"
#include "compression/copy_mirror.h"
#include "compression/page_batch.h"

namespace wherry {

class BatchDecoder {
 public:
  BatchDecoder();
  ~BatchDecoder();

  // Fills `plain` exactly, or it is an error.
  Result<> unpack(std::span<const uint8_t> pack, std::span<uint8_t> plain);

 private:
  struct Zstd;
  std::unique_ptr<Zstd> zstd_;
};

// Sets the page views of a batch whose runs were read from its table: `plain` is what its pack unpacks to,
// `raw` the bytes behind the pack. With `sums`, each page's hash is there too.
Result<> view(PageBatch& batch, std::span<const uint8_t> plain, std::span<const uint8_t> raw, bool sums);

// Whether a batch has pages that are told by what the destination holds.
bool has_references(const PageBatch& batch);
// Whether it uses or makes copies, which must be done in the order of epochs.
bool has_copies(const PageBatch& batch);

// Where the pages are that the destination holds.
class PageBases {
 public:
  virtual ~PageBases() = default;
  // The page as it is now; it may have been copied to `scratch`, of a page's length.
  virtual Result<const uint8_t*> base(uint16_t block, uint64_t index, uint32_t page_size,
                                      uint8_t* scratch) const = 0;
};

// Makes whole pages, in `scratch` or where they are, of those that are not, by the guest memory that can be
// read here and by the copies that are kept; either may be null: there is none. Then pages that are to be
// kept are just pages. False: the base of a page is not what the source believed, so the batch is needed
// whole. That is no error: its line hashes met another line's, or an equal page was sent anew and is there
// already, or QEMU sent a page twice in an epoch, as 7.2 does.
Result<bool> resolve(PageBatch& batch, const PageSpace& space, const PageBases* bases, CopyMirror* copies,
                     std::vector<uint8_t>& scratch);

// Compares whole pages with the sums that the batch carries, if it does. The error names the page's index and
// block number.
Result<> check_sums(const PageBatch& batch);

}  // namespace wherry
