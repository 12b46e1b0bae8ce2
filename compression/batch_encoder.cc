#include "compression/batch_encoder.h"

#include <zstd.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "compression/batch_table.h"
#include "compression/copy_mirror.h"
#include "compression/keyed_hash.h"
#include "compression/line_delta.h"
#include "compression/page_patch.h"
#include "compression/page_reference.h"
#include "compression/zero_scan.h"

namespace wherry {
namespace {

// A page with more changed lines than this is sent whole: zstd then saves more than the line delta.
constexpr int kMostLines = 40;
// A pack is sent compressed if that takes at most 31/32 of its plain size.
constexpr size_t kWorthOf32 = 31;
constexpr size_t kSmallestPack = 256;  // bytes; a smaller pack is not compressed

void append_run(std::vector<PageRun>& runs, const PageRun& run) {
  if (!runs.empty()) {
    PageRun& last = runs.back();
    if (last.block == run.block && last.kind == run.kind && last.first + last.count == run.first) {
      last.count += run.count;
      return;
    }
  }
  runs.push_back(run);
}

}  // namespace

struct BatchEncoder::Zstd {
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context{ZSTD_createCCtx(), ZSTD_freeCCtx};
};

BatchEncoder::BatchEncoder(PageHistory* history)
    : history_(history),
      plain_(new uint8_t[kMostPlain]),
      packed_(new uint8_t[ZSTD_compressBound(kMostPlain)]),
      zstd_(std::make_unique<Zstd>()) {}

BatchEncoder::~BatchEncoder() = default;

void BatchEncoder::append(const uint8_t* bytes, size_t size) {
  std::memcpy(plain_.get() + plain_size_, bytes, size);
  plain_size_ += size;
}

// Remembers the page. Returns `raw` if it has to be sent whole; else what changed is now in the pack.
PageKind BatchEncoder::append_changes(uint16_t block, uint64_t index, const uint8_t* page) {
  LineHashes* hashes = history_->hashes(block, index);
  if (!hashes) {
    history_->forget(block, index, 1);  // what it was before, if its hashes were given back
    return PageKind::raw;
  }
  if (!history_->refers(block, index)) {
    hash_lines(page, page_size_, history_->secret(), *hashes);
    history_->remember(block, index);
    if (history_->readable(block))
      copy_page(history_->copies().admit(block, index, epoch_, false), block, index, page);
    return PageKind::raw;
  }
  const uint64_t changed = changed_lines(page, page_size_, history_->secret(), *hashes);
  const bool patched = append_patch(block, index, page);
  history_->remember(block, index, changed != 0);
  if (patched) return PageKind::patch;
  if (std::popcount(changed) > kMostLines) return PageKind::raw;
  put_lines(page, page_size_, changed, history_->secret(), plain_.get() + plain_size_);
  plain_size_ += lines_size(changed, page_size_);
  return PageKind::lines;
}

// Updates the page's kept copy, or makes one. True if there was one and little changed: the patch is then in
// the pack.
bool BatchEncoder::append_patch(uint16_t block, uint64_t index, const uint8_t* page) {
  KeptCopies& copies = history_->copies();
  size_t size = 0;
  KeptCopies::Copy copy = copies.find(block, index, epoch_);
  if (copy) {
    size = make_patch(copy.bytes, page, page_size_, room_for_patch(kSumBytes));
  } else {
    copy = copies.admit(block, index, epoch_, true);
  }
  copy_page(copy, block, index, page);
  if (size == 0) return false;
  append_number(hash_page(page, page_size_, history_->secret()), kSumBytes);
  plain_size_ += size;
  return true;
}

// For a destination that relays. Returns `raw` if that keeps no copy of the page; else the page or its patch
// is now in the pack.
PageKind BatchEncoder::append_copied(uint16_t block, uint64_t index, const uint8_t* page, EncodedBatch& out) {
  if (!history_->has_room(block, index)) return PageKind::raw;
  const bool comes_back = history_->knows(block, index);
  history_->remember(block, index);
  KeptCopies& copies = history_->copies();
  KeptCopies::Copy copy = comes_back ? copies.find(block, index, epoch_) : KeptCopies::Copy();
  const auto room = room_for_patch(kPlaceBytes + kSumBytes);
  const size_t size = copy ? make_patch(copy.bytes, page, page_size_, room) : 0;
  if (size == 0 && looks_random({page, page_size_})) {
    // The page is new throughout and would not compress: a copy of it would not pay.
    if (copy) copies.release(block, index);
    copies.drop(block, index);
    return PageKind::raw;
  }
  if (!copy) copy = copies.admit(block, index, epoch_, comes_back);
  if (!copy) return PageKind::raw;
  copy_page(copy, block, index, page);
  out.copied.push_back({page_, copy.place});
  if (size == 0) {
    append_keep(copy.place, page);
    return PageKind::keep;
  }
  append_number(copy.place, kPlaceBytes);
  append_number(hash_page(page, page_size_, history_->secret()), kSumBytes);
  plain_size_ += size;
  return PageKind::kept;
}

// Stores the page in `copy`, if there is one, and releases the copy.
void BatchEncoder::copy_page(KeptCopies::Copy copy, uint16_t block, uint64_t index, const uint8_t* page) {
  if (!copy) return;
  std::memcpy(copy.bytes, page, page_size_);
  history_->copies().release(block, index);
}

void BatchEncoder::append_keep(uint32_t place, const uint8_t* page) {
  append_number(place, kPlaceBytes);
  append(page, page_size_);
}

void BatchEncoder::append_number(uint64_t value, size_t bytes) {
  put_le(&plain_[plain_size_], value, bytes);
  plain_size_ += bytes;
}

// Where a patch goes: after the `ahead` bytes that precede it. A patch of more than half a page would not
// pay.
std::span<uint8_t> BatchEncoder::room_for_patch(size_t ahead) {
  return {plain_.get() + plain_size_ + ahead, page_size_ / 2};
}

// True if the destination holds an equal page: the reference to that is then in the pack. If not, this page
// is sent whole, and later pages can refer to it.
bool BatchEncoder::append_same(uint16_t block, uint64_t index, const uint8_t* page, EncodedBatch& out) {
  if (!history_->readable(block)) return false;
  const ContentHash content = hash_content(page, page_size_, history_->secret());
  if (const auto equal = history_->find(content.low)) {
    put_reference({static_cast<uint16_t>(equal->block), equal->page, content}, plain_.get() + plain_size_);
    plain_size_ += kReferenceBytes;
    return true;
  }
  if (history_->knows(block, index)) out.whole.push_back(history_->known(content.low, block, index));
  return false;
}

// Zeros that came as data are sent as a zero page only if the destination places the page itself. If it
// relays the page, they have to stay data in the VMM's stream: QEMU before 9.0 accepts no zero page on a
// multifd channel, and gives no error.
PageKind BatchEncoder::encode_page(uint16_t block, uint64_t index, const uint8_t* page,
                                   const Encoding& encoding, EncodedBatch& out) {
  const std::span<const uint8_t> bytes(page, page_size_);
  const bool zero = history_ && history_->readable(block) && is_zero(bytes);
  if (history_ && (encoding.history == Encoding::History::forgotten ||
                   (zero && encoding.history == Encoding::History::kept))) {
    history_->forget(block, index, 1);
  }
  if (zero) return PageKind::zero;
  if (history_ && encoding.history == Encoding::History::kept) {
    const PageKind kind =
        history_->by_copies() ? append_copied(block, index, page, out) : append_changes(block, index, page);
    if (kind != PageKind::raw) return kind;
    if (append_same(block, index, page, out)) return PageKind::same;
  }
  if (!encoding.level || looks_random(bytes)) return PageKind::raw;
  append(page, page_size_);
  return PageKind::packed;
}

Result<> BatchEncoder::encode(const PageBatch& batch, uint32_t epoch, const Encoding& encoding,
                              EncodedBatch& out, std::span<const CopiedPage> copied) {
  page_size_ = batch.page_size;
  epoch_ = epoch;
  page_ = 0;
  runs_.clear();
  raw_.clear();
  sums_.clear();
  plain_size_ = 0;
  out.counts = {};
  out.whole.clear();
  out.copied.clear();
  for (const PageRun& run : batch.runs) {
    if (run.kind == PageKind::zero) {
      if (history_ && encoding.history != Encoding::History::untouched)
        history_->forget(run.block, run.first, run.count);
      append_run(runs_, run);
      out.counts.zero += run.count;
      continue;
    }
    for (uint64_t index = run.first; index < run.first + run.count; ++index, ++page_) {
      const uint8_t* page = batch.data[page_];
      PageKind kind = PageKind::keep;
      if (!copied.empty() && copied.front().page == page_) {
        append_keep(copied.front().place, page);
        copied = copied.subspan(1);
      } else {
        kind = encode_page(run.block, index, page, encoding, out);
      }
      append_run(runs_, {run.block, kind, 1, index});
      out.counts.zero += kind == PageKind::zero;
      out.counts.same += kind == PageKind::same;
      out.counts.delta += is_delta(kind);
      const bool whole = kind == PageKind::packed || kind == PageKind::keep;
      out.counts.zstd += whole && encoding.level;
      out.counts.raw += kind == PageKind::raw || (whole && !encoding.level);
      if (kind != PageKind::zero && encoding.sums) {
        auto digest = digest_page(page, page_size_);
        if (!digest) return pass_on(digest);
        sums_.push_back(*digest);
      }
      if (kind != PageKind::raw) continue;
      // Pages of a multifd packet are adjacent in memory: one view covers them all.
      if (!raw_.empty() && raw_.back().data() + raw_.back().size() == page) {
        raw_.back() = {raw_.back().data(), raw_.back().size() + page_size_};
      } else {
        raw_.emplace_back(page, page_size_);
      }
    }
  }
  for (const PageDigest& sum : sums_) append(sum.data(), sum.size());
  put_table(runs_, out.table);
  close_pack(encoding, out);
  return {};
}

void BatchEncoder::close_pack(const Encoding& encoding, EncodedBatch& out) {
  out.body.clear();
  std::span<const uint8_t> pack(plain_.get(), plain_size_);
  if (encoding.level) {
    if (const size_t size = compress(pack, *encoding.level)) pack = {packed_.get(), size};
  }
  if (!pack.empty()) out.body.push_back(pack);
  out.pack_size = static_cast<uint32_t>(pack.size());
  out.plain_size = static_cast<uint32_t>(plain_size_);
  out.body.insert(out.body.end(), raw_.begin(), raw_.end());
  out.body_size = 0;
  for (std::span<const uint8_t> part : out.body) out.body_size += static_cast<uint32_t>(part.size());
}

size_t BatchEncoder::compress(std::span<const uint8_t> bytes, int level) {
  if (bytes.size() < kSmallestPack) return 0;
  ZSTD_CCtx_setParameter(zstd_->context.get(), ZSTD_c_compressionLevel, level);
  const size_t most = bytes.size() * kWorthOf32 / 32;
  const size_t size = ZSTD_compress2(zstd_->context.get(), packed_.get(), most, bytes.data(), bytes.size());
  return ZSTD_isError(size) ? 0 : size;  // it does not fit, so it does not pay
}

std::span<const uint8_t> BatchEncoder::pack(std::span<const uint8_t> bytes, int level) {
  if (bytes.size() > kMostPlain || looks_random(bytes)) return {};
  return {packed_.get(), compress(bytes, level)};
}

// 512 random bytes have 221 ± 5 different values. Text, code and numbers have far fewer.
bool looks_random(std::span<const uint8_t> bytes) {
  constexpr size_t kPieces = 8;
  constexpr size_t kPiece = 64;
  constexpr int kDifferent = 195;
  if (bytes.size() < kPieces * kPiece) return false;
  std::array<uint64_t, 4> seen{};
  const size_t step = (bytes.size() - kPiece) / (kPieces - 1);
  for (size_t piece = 0; piece < kPieces; ++piece) {
    for (const uint8_t byte : bytes.subspan(piece * step, kPiece))
      seen[byte / 64] |= uint64_t{1} << byte % 64;
  }
  int different = 0;
  for (const uint64_t word : seen) different += std::popcount(word);
  return different >= kDifferent;
}

}  // namespace wherry
