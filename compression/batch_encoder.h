// Turns a batch of pages into what goes over the wire: a table, a pack, and raw pages.
//
// For each page the cheapest of: nothing (zero, as the VMM says, or as is found where the destination places
// pages itself), what changed since the destination got it, the name of an equal page that the destination
// holds, a place in the pack, which is compressed as a whole, or the page as it is where it would not
// compress. docs/wire-format.md has the bytes. An encoder belongs to one lane and is used by one thread; its
// buffers and its zstd context live as long.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "compression/page_batch.h"
#include "compression/page_history.h"

namespace wherry {

// How much a batch may unpack to: its pages, and what is said of each.
inline constexpr uint32_t kMostPlain = kBatchBytes + 16 * 1024;

// How to encode.
struct Encoding {
  enum class History {
    untouched,  // a batch that is sent once more, whole: the history is past it
    forgotten,  // what is sent is not remembered: there is no time
    kept,       // what is sent is remembered, and referred to where the destination can
  };
  History history = History::untouched;
  std::optional<int> level;  // zstd's; none: nothing is compressed
  bool sums = false;         // a hash of each page, for the destination to check

  bool operator==(const Encoding&) const = default;
};

// How many pages went in which way.
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

// A page of which the destination keeps a copy, once the batch has landed.
struct CopiedPage {
  uint32_t page = 0;  // of those of the batch that carry bytes
  uint32_t place = 0;

  bool operator==(const CopiedPage&) const = default;
};

// The body is a list of views, the pack first: they stay valid until the encoder's next call and as long as
// the memory behind the batch.
struct EncodedBatch {
  std::vector<uint8_t> table;
  std::vector<std::span<const uint8_t>> body;
  uint32_t body_size = 0;
  uint32_t pack_size = 0;   // bytes of the body that are the pack
  uint32_t plain_size = 0;  // bytes that it unpacks to; equal: it is not compressed
  PageCounts counts;
  std::vector<KnownPage> whole;  // pages that others may refer to once these have landed
  std::vector<CopiedPage> copied;
};

class BatchEncoder {
 public:
  // Without a history, nothing is remembered, and nothing known of the destination.
  explicit BatchEncoder(PageHistory* history = nullptr);
  ~BatchEncoder();

  // `epoch` is the batch's. With an untouched history, `copied` says which copies the destination must have
  // made, because the batch was encoded before.
  void encode(const PageBatch& batch, uint32_t epoch, const Encoding& encoding, EncodedBatch& out,
              std::span<const CopiedPage> copied = {});
  // Compresses bytes that are no pages; empty where that does not pay. Valid until the next call.
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
  // Into packed_; 0 if that does not save what unpacking costs.
  size_t compress(std::span<const uint8_t> bytes, int level);

  PageHistory* const history_;
  uint32_t page_size_ = 0;
  uint32_t epoch_ = 0;
  uint32_t page_ = 0;  // of those that carry bytes, the one that is being encoded
  std::vector<PageRun> runs_;
  std::vector<std::span<const uint8_t>> raw_;
  std::vector<uint64_t> sums_;
  std::unique_ptr<uint8_t[]> plain_;
  size_t plain_size_ = 0;
  std::unique_ptr<uint8_t[]> packed_;
  std::unique_ptr<Zstd> zstd_;
};

// Whether bytes look as if they would not compress: a guess from a sample of them.
bool looks_random(std::span<const uint8_t> bytes);

}  // namespace wherry
