// Turns what came over the wire into pages again. There are three steps, because a page can refer to a page
// that has to land first:
//
//   unpack()  decompresses the pack
//   view()    finds each page, or what stands for it, in the unpacked bytes
//   resolve() builds whole pages from that and from what the destination holds
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
#include "compression/keyed_hash.h"
#include "compression/page_batch.h"

namespace wherry {

class BatchDecoder {
 public:
  BatchDecoder();
  ~BatchDecoder();

  // It is an error if the pack does not fill `plain` exactly.
  Result<> unpack(std::span<const uint8_t> pack, std::span<uint8_t> plain);

 private:
  struct Zstd;
  std::unique_ptr<Zstd> zstd_;
};

// Sets the page views of a batch whose runs were read from its table. `plain` is the unpacked pack, `raw` the
// bytes that follow the pack. With `sums`, `plain` ends with a digest of each page. Nobody may write to
// `plain` any more: resolve() reads again what is checked here.
Result<> view(PageBatch& batch, std::span<const uint8_t> plain, std::span<const uint8_t> raw, bool sums);

// Whether a batch has pages that are encoded relative to pages that the destination holds.
bool has_references(const PageBatch& batch);
// Whether a batch uses or makes copies. Both have to be done in the order of epochs.
bool has_copies(const PageBatch& batch);

// Access to the pages that the destination holds.
class PageBases {
 public:
  virtual ~PageBases() = default;
  // The page as it is now, in place or copied to `scratch`, which has room for one page.
  virtual Result<const uint8_t*> base(uint16_t block, uint64_t index, uint32_t page_size,
                                      uint8_t* scratch) const = 0;
};

// Builds a whole page, in `scratch`, for each page that is encoded relative to another. `secret` is the
// source's. `bases` gives access to guest memory, null if it cannot be read. `copies` holds the copies that
// are kept, null if there are none. Pages that come with the order to keep a copy are stored there. All these
// pages are of the kind raw afterwards.
//
// False: the base of a page is not what the source assumed, so the batch has to come again with whole pages.
// That is not an error. Two different lines had the same hash; or the page that another refers to was sent
// anew and has landed already; or QEMU sent a page twice in an epoch, as 7.2 does.
Result<bool> resolve(PageBatch& batch, const PageSpace& space, const PageSecret& secret,
                     const PageBases* bases, CopyMirror* copies, std::vector<uint8_t>& scratch);

// If the batch carries sums, compares whole pages with them. The error names the page's index and its block's
// number.
Result<> check_sums(const PageBatch& batch);

}  // namespace wherry
