#include "compression/page_patch.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/bytes.h"
#include "compression/bit_runs.h"
#include "compression/word.h"

namespace wherry {
namespace {

constexpr size_t kLengthBytes = 2;
constexpr size_t kMostOps = std::numeric_limits<uint16_t>::max();
constexpr uint32_t kOpHead = 3;
constexpr uint32_t kOpMost = 256;
constexpr uint32_t kBlock = 64;

struct Op {
  uint32_t skip;
  uint32_t count;
};

Op get_op(const uint8_t* in) {
  return {get_le<uint16_t>(in), in[2] + 1u};
}

// Calls visit(at, bytes) for each change of the patch at the start of `encoded`: the place in the page, and
// what it has there from now on. Returns the patch's length. Nothing is visited that was not checked.
template <class Visit>
Result<size_t> each_op(std::span<const uint8_t> encoded, size_t page_size, Visit&& visit) {
  if (encoded.size() < kLengthBytes) return fail("the patch of a page is cut short");
  const size_t length = kLengthBytes + get_le<uint16_t>(encoded.data());
  if (length > encoded.size()) return fail("the patch of a page is cut short");
  std::span<const uint8_t> left = encoded.first(length).subspan(kLengthBytes);
  for (size_t end = 0; !left.empty();) {
    if (left.size() < kOpHead) return fail("the patch of a page ends in the middle of a change");
    const Op op = get_op(left.data());
    left = left.subspan(kOpHead);
    if (op.skip + op.count > page_size - end) return fail("the patch of a page reaches beyond the page");
    if (op.count > left.size()) return fail("the patch of a page ends in the middle of a change");
    visit(end + op.skip, left.first(op.count));
    left = left.subspan(op.count);
    end += op.skip + op.count;
  }
  return length;
}

// Bit i is set if byte i of the word, as it lies in memory, is not zero.
uint64_t nonzero_bytes(uint64_t word) {
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  constexpr uint64_t kLow7 = 0x7f7f7f7f7f7f7f7f;
  const uint64_t tops = (((word & kLow7) + kLow7) | word) & ~kLow7;
  // The multiplication moves the top bit of byte i to bit 56 + i.
  return ((tops >> 7) * 0x0102040810204080) >> 56;
}

// Bit i is set if byte i of the two blocks differs.
uint64_t differing_bytes(const uint8_t* a, const uint8_t* b) {
  uint64_t any = 0;
  for (uint32_t i = 0; i < kBlock; i += 8) any |= word_at(a + i) ^ word_at(b + i);
  if (any == 0) return 0;  // most blocks of most pages
  uint64_t bits = 0;
  for (uint32_t i = 0; i < kBlock; i += 8) bits |= nonzero_bytes(word_at(a + i) ^ word_at(b + i)) << i;
  return bits;
}

class PatchWriter {
 public:
  PatchWriter(const uint8_t* page, std::span<uint8_t> out)
      : page_(page), out_(out.first(std::min(out.size(), kLengthBytes + kMostOps))) {}

  // The bytes `from` to `to` - 1 of the page changed. Calls have to be in ascending order.
  void add(uint32_t from, uint32_t to) {
    for (uint32_t count; from < to; from += count) {
      count = std::min(to - from, kOpMost);
      if (out_.size() < used_ + kOpHead + count) {
        full_ = true;
        return;
      }
      put_le(&out_[used_], static_cast<uint16_t>(from - end_));
      out_[used_ + 2] = static_cast<uint8_t>(count - 1);
      std::memcpy(&out_[used_ + kOpHead], page_ + from, count);
      used_ += kOpHead + count;
      end_ = from + count;
    }
  }

  bool full() const { return full_; }

  size_t finish() {
    if (full_ || out_.size() < kLengthBytes) return 0;
    put_le(out_.data(), static_cast<uint16_t>(used_ - kLengthBytes));
    return used_;
  }

 private:
  const uint8_t* page_;
  std::span<uint8_t> out_;
  size_t used_ = kLengthBytes;
  uint32_t end_ = 0;  // of the last op, in the page
  bool full_ = false;
};

}  // namespace

size_t make_patch(const uint8_t* base, const uint8_t* page, uint32_t page_size, std::span<uint8_t> out) {
  PatchWriter writer(page, out);
  uint32_t from = 0;
  uint32_t to = 0;
  for (uint32_t at = 0; at < page_size; at += kBlock) {
    each_bit_run(differing_bytes(base + at, page + at), [&](uint32_t first, uint32_t count) {
      first += at;
      // A gap that is not longer than the head of an op is cheaper to send than to skip.
      if (to == 0 || first - to > kOpHead) {
        writer.add(from, to);
        from = first;
      }
      to = first + count;
    });
    if (writer.full() || to - from > out.size()) return 0;
  }
  writer.add(from, to);
  return writer.finish();
}

Result<size_t> patch_length(std::span<const uint8_t> encoded, uint32_t page_size) {
  return each_op(encoded, page_size, [](size_t, std::span<const uint8_t>) {});
}

bool apply_patch(std::span<const uint8_t> encoded, std::span<uint8_t> page) {
  const auto replace = [page](size_t at, std::span<const uint8_t> bytes) {
    std::memcpy(&page[at], bytes.data(), bytes.size());
  };
  return each_op(encoded, page.size(), replace).has_value();
}

}  // namespace wherry
