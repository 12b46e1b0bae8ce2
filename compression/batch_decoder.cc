#include "compression/batch_decoder.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "compression/line_delta.h"
#include "compression/page_digest.h"
#include "compression/page_patch.h"
#include "compression/page_reference.h"

namespace wherry {
namespace {

// How many bytes precede a page or its patch.
size_t ahead(PageKind kind) {
  if (kind == PageKind::patch) return kSumBytes;
  if (kind == PageKind::keep) return kPlaceBytes;
  if (kind == PageKind::kept) return kPlaceBytes + kSumBytes;
  return 0;
}

// The length in bytes of the encoded page at the start of `bytes`. The caller checks that it is all there.
Result<size_t> length_of(PageKind kind, std::span<const uint8_t> bytes, uint32_t page_size) {
  if (kind == PageKind::lines) return lines_length(bytes, page_size);
  if (kind == PageKind::same) return kReferenceBytes;
  if (!is_delta(kind)) return ahead(kind) + page_size;
  if (bytes.size() < ahead(kind)) return fail("a batch is shorter than its table says");
  auto length = patch_length(bytes.subspan(ahead(kind)), page_size);
  if (!length) return length;
  return ahead(kind) + *length;
}

// Builds the whole page in `page` from its encoded form, at the start of `said`. False: the base is not what
// the source assumed.
Result<bool> resolve_by_memory(PageKind kind, PageReference to, std::span<const uint8_t> said,
                               const PageSpace& space, const PageSecret& secret, const PageBases& bases,
                               uint8_t* page) {
  if (kind == PageKind::same) {
    to = get_reference(said.data());
    if (!space.contains({to.block, kind, 1, to.page})) {
      return fail("a page refers to page {} of block {}, which is outside guest memory", to.page, to.block);
    }
  }
  auto base = bases.base(to.block, to.page, space.page_size, page);
  if (!base) return pass_on(base);
  if (kind == PageKind::same) return copy_referred(*base, to.content, space.page_size, secret, page);
  if (kind == PageKind::lines) return apply_lines(said, *base, space.page_size, secret, page);
  if (*base != page) std::memcpy(page, *base, space.page_size);
  return apply_patch(said.subspan(kSumBytes), {page, space.page_size}) &&
         hash_page(page, space.page_size, secret) == get_le(said.data(), kSumBytes);
}

}  // namespace

struct BatchDecoder::Zstd {
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context{ZSTD_createDCtx(), ZSTD_freeDCtx};
};

BatchDecoder::BatchDecoder() : zstd_(std::make_unique<Zstd>()) {}
BatchDecoder::~BatchDecoder() = default;

Result<> BatchDecoder::unpack(std::span<const uint8_t> pack, std::span<uint8_t> plain) {
  const size_t frame = ZSTD_findFrameCompressedSize(pack.data(), pack.size());
  if (!ZSTD_isError(frame) && frame != pack.size()) return fail("a pack is more than one zstd frame");
  const size_t size =
      ZSTD_decompressDCtx(zstd_->context.get(), plain.data(), plain.size(), pack.data(), pack.size());
  if (ZSTD_isError(size)) return fail("a pack does not unpack: {}", ZSTD_getErrorName(size));
  if (size != plain.size()) return fail("a pack unpacks to {} bytes instead of {}", size, plain.size());
  return {};
}

Result<> view(PageBatch& batch, std::span<const uint8_t> plain, std::span<const uint8_t> raw, bool sums) {
  batch.data.clear();
  batch.pack = plain;
  for (const PageRun& run : batch.runs) {
    if (run.kind == PageKind::zero) continue;
    std::span<const uint8_t>& from = run.kind == PageKind::raw ? raw : plain;
    for (uint32_t i = 0; i < run.count; ++i) {
      auto length = length_of(run.kind, from, batch.page_size);
      if (!length) return pass_on(length);
      if (from.size() < *length) return fail("a batch is shorter than its table says");
      batch.data.push_back(from.data());
      from = from.subspan(*length);
    }
  }
  batch.sums = sums ? plain.data() : nullptr;
  if (plain.size() != (sums ? batch.data.size() * kDigestBytes : 0) || !raw.empty()) {
    return fail("a batch is longer or shorter than its table says");
  }
  return {};
}

bool has_references(const PageBatch& batch) {
  return std::any_of(batch.runs.begin(), batch.runs.end(),
                     [](const PageRun& run) { return is_reference(run.kind); });
}

bool has_copies(const PageBatch& batch) {
  return std::any_of(batch.runs.begin(), batch.runs.end(), [](const PageRun& run) {
    return run.kind == PageKind::keep || run.kind == PageKind::kept;
  });
}

Result<bool> resolve(PageBatch& batch, const PageSpace& space, const PageSecret& secret,
                     const PageBases* bases, CopyMirror* copies, std::vector<uint8_t>& scratch) {
  const size_t page_size = batch.page_size;
  scratch.resize(batch.data.size() * page_size);
  size_t next = 0;
  bool fits = true;
  for (PageRun& run : batch.runs) {
    if (run.kind == PageKind::zero) continue;
    if (!is_reference(run.kind) && run.kind != PageKind::keep) {
      next += run.count;
      continue;
    }
    const bool held =
        run.kind == PageKind::keep || (run.kind == PageKind::kept ? copies != nullptr : bases != nullptr);
    if (!held) return fail("a batch refers to pages that are not held here");
    for (uint64_t index = run.first; index < run.first + run.count; ++index, ++next) {
      const uint8_t*& at = batch.data[next];
      const std::span<const uint8_t> said = batch.pack.subspan(static_cast<size_t>(at - batch.pack.data()));
      uint8_t* page = &scratch[next * page_size];
      const auto place = static_cast<uint32_t>(get_le(at, kPlaceBytes));
      if (run.kind == PageKind::keep) {
        at += kPlaceBytes;
        auto kept = copies ? copies->keep(place, run.block, index, at) : Result<>();
        if (!kept) return pass_on(kept);
        continue;
      }
      if (run.kind == PageKind::kept) {
        const uint64_t sum = get_le(at + kPlaceBytes, kSumBytes);
        fits = copies->patch(place, run.block, index, said.subspan(ahead(run.kind)), sum, page) && fits;
      } else {
        auto whole = resolve_by_memory(run.kind, {run.block, index, {}}, said, space, secret, *bases, page);
        if (!whole) return whole;
        fits = fits && *whole;
      }
      at = page;
    }
    run.kind = PageKind::raw;
  }
  return fits;
}

Result<> check_sums(const PageBatch& batch) {
  if (!batch.sums) return {};
  size_t next = 0;
  for (const PageRun& run : batch.runs) {
    if (run.kind == PageKind::zero) continue;
    for (uint64_t index = run.first; index < run.first + run.count; ++index, ++next) {
      auto digest = digest_page(batch.data[next], batch.page_size);
      if (!digest) return pass_on(digest);
      if (std::memcmp(digest->data(), batch.sums + next * kDigestBytes, kDigestBytes) != 0) {
        return fail("page {} of RAM block number {} is not what the source sent", index, run.block);
      }
    }
  }
  return {};
}

}  // namespace wherry
