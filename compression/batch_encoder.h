// Turns a batch of pages into what goes over the wire: a table, a pack, and raw pages.
//
// Each page is sent in the cheapest of these ways:
//
//   zero    no bytes. The VMM says that the page is zero; if the destination places pages itself, the encoder
//           looks for zeros too.
//   delta   what changed since the destination got the page
//   same    a reference to an equal page that the destination holds
//   packed  in the pack, which is compressed as a whole
//   raw     as it is, if it would not compress
//
// docs/wire-format.md describes the bytes. An encoder belongs to one lane and is used by one thread. It keeps
// its buffers and its zstd context from batch to batch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "compression/page_batch.h"
#include "compression/page_digest.h"
#include "compression/page_history.h"

namespace wherry {

// How many bytes a pack unpacks to at most: the pages of a batch, and what is stored with each.
inline constexpr uint32_t kMostPlain = kBatchBytes + 32 * 1024;

// How to encode.
struct Encoding {
  enum class History {
    untouched,  // not used or changed: the batch is sent again in full, and the history has moved on since
    forgotten,  // pages that are sent are forgotten: there is no time to remember them
    kept,       // pages that are sent are remembered, and encoded relative to what the destination holds
  };
  History history = History::untouched;
  std::optional<int> level;  // of zstd; none: nothing is compressed
  bool sums = false;         // a digest of each page, for the destination to check

  bool operator==(const Encoding&) const = default;
};

// How many pages were sent in which way.
struct PageCounts {
  uint64_t zero = 0;
  uint64_t same = 0;
  uint64_t delta = 0;
  uint64_t zstd = 0;
  uint64_t raw = 0;

  PageCounts& operator+=(const PageCounts& more) {
    zero += more.zero;
    same += more.same;
    delta += more.delta;
    zstd += more.zstd;
    raw += more.raw;
    return *this;
  }
};

// A page of which the destination keeps a copy when the batch has landed.
struct CopiedPage {
  uint32_t page = 0;   // its number among the pages of the batch that carry bytes
  uint32_t place = 0;  // where the copy is kept (copy_mirror.h)

  bool operator==(const CopiedPage&) const = default;
};

// The body is a list of views, the pack first. They are valid until the encoder's next call, and only while
// the bytes of the batch's pages are.
struct EncodedBatch {
  std::vector<uint8_t> table;
  std::vector<std::span<const uint8_t>> body;
  uint32_t body_size = 0;
  uint32_t pack_size = 0;   // bytes of the pack, at the start of the body
  uint32_t plain_size = 0;  // bytes that the pack unpacks to; if equal to pack_size, it is not compressed
  PageCounts counts;
  std::vector<KnownPage> whole;  // pages that others can refer to once this batch has landed
  std::vector<CopiedPage> copied;
};

class BatchEncoder {
 public:
  // Without a history, pages are not remembered, not encoded relative to others and not searched for zeros.
  explicit BatchEncoder(PageHistory* history = nullptr);
  ~BatchEncoder();

  // `epoch` is that of the batch. `copied` is for a batch that was encoded before and is sent again in full,
  // with an untouched history: its pages of which the destination has to have a copy afterwards. Fails only
  // where pages cannot be digested.
  Result<> encode(const PageBatch& batch, uint32_t epoch, const Encoding& encoding, EncodedBatch& out,
                  std::span<const CopiedPage> copied = {});
  // Compresses bytes that are not pages. Empty if that does not pay. Valid until the next call.
  std::span<const uint8_t> pack(std::span<const uint8_t> bytes, int level);

 private:
  struct Zstd;

  PageKind encode_page(uint16_t block, uint64_t index, const uint8_t* page, const Encoding& encoding,
                       EncodedBatch& out);
  PageKind append_changes(uint16_t block, uint64_t index, const uint8_t* page);
  bool append_patch(uint16_t block, uint64_t index, const uint8_t* page);
  bool append_same(uint16_t block, uint64_t index, const uint8_t* page, EncodedBatch& out);
  PageKind append_copied(uint16_t block, uint64_t index, const uint8_t* page, EncodedBatch& out);
  void copy_page(KeptCopies::Copy copy, uint16_t block, uint64_t index, const uint8_t* page);
  void append_keep(uint32_t place, const uint8_t* page);
  void append_number(uint64_t value, size_t bytes);
  std::span<uint8_t> room_for_patch(size_t ahead);
  void append(const uint8_t* bytes, size_t size);
  void close_pack(const Encoding& encoding, EncodedBatch& out);
  // Compresses into packed_ and returns the size, or 0 if that saves less than unpacking costs.
  size_t compress(std::span<const uint8_t> bytes, int level);

  PageHistory* const history_;
  uint32_t page_size_ = 0;
  uint32_t epoch_ = 0;
  uint32_t page_ = 0;  // number of the page being encoded, among those that carry bytes
  std::vector<PageRun> runs_;
  std::vector<std::span<const uint8_t>> raw_;
  std::vector<PageDigest> sums_;
  std::unique_ptr<uint8_t[]> plain_;
  size_t plain_size_ = 0;
  std::unique_ptr<uint8_t[]> packed_;
  std::unique_ptr<Zstd> zstd_;
};

// Whether the bytes look as if they would not compress: a guess from a sample.
bool looks_random(std::span<const uint8_t> bytes);

}  // namespace wherry
