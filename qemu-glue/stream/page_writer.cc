#include "qemu-glue/stream/page_writer.h"

#include <algorithm>

#include "base/bytes.h"
#include "qemu-glue/stream/formats.h"

namespace wherry::qemu {
namespace {

// Collects pieces of headers and pages in order. headers_ moves when it grows, so a piece of a header has a
// null address until finish().
class Pieces {
 public:
  void clear() {
    headers_.clear();
    pieces_.clear();
  }
  // Room for a header, zeroed.
  uint8_t* header(size_t length) {
    if (!pieces_.empty() && pieces_.back().iov_base == nullptr) {
      pieces_.back().iov_len += length;
    } else {
      pieces_.push_back({nullptr, length});
    }
    headers_.resize(headers_.size() + length);
    return headers_.data() + headers_.size() - length;
  }
  void page(const uint8_t* bytes, size_t length) { pieces_.push_back({const_cast<uint8_t*>(bytes), length}); }
  std::span<iovec> finish() {
    uint8_t* next = headers_.data();
    for (iovec& piece : pieces_) {
      if (piece.iov_base) continue;
      piece.iov_base = next;
      next += piece.iov_len;
    }
    return pieces_;
  }

 private:
  std::vector<uint8_t> headers_;
  std::vector<iovec> pieces_;
};

bool skipped(const Skip& skip, uint16_t block) {
  return block < skip.size() && skip[block];
}

// ram.c:save_page_header: u64 offset and flags; then the block's name, unless the record before had the same
// block. The last block is remembered across sections. The first record of a stream names its block.
class MainWriter : public PageWriter {
 public:
  explicit MainWriter(const GuestBlocks& blocks) : blocks_(blocks) {}

  // `whole_zeros` is not needed: QEMU always obeys a zero page's record.
  std::span<iovec> write(const PageBatch& batch, const Skip& skip, bool /*whole_zeros*/) override {
    pieces_.clear();
    batch.each([&](uint16_t block, uint64_t index, const uint8_t* content) {
      if (skipped(skip, block)) return;
      uint64_t word = index * batch.page_size | (content ? kRamPage : kRamZero);
      const bool named = block != last_block_;
      if (!named) word |= kRamContinue;
      put_be64(pieces_.header(8), word);
      if (named) {
        const std::string& name = blocks_.blocks[block].name;
        uint8_t* at = pieces_.header(1 + name.size());
        at[0] = static_cast<uint8_t>(name.size());
        std::copy(name.begin(), name.end(), at + 1);
        last_block_ = block;
      }
      if (content) {
        pieces_.page(content, batch.page_size);
      } else {
        pieces_.header(1);
      }
    });
    return pieces_.finish();
  }

 private:
  const GuestBlocks& blocks_;
  int last_block_ = -1;
  Pieces pieces_;
};

// multifd.h: MultiFDPacket_t. A packet has pages of one block, at most 512 KiB of slots, offsets of zero
// pages after those of the others.
class MultifdWriter : public PageWriter {
 public:
  explicit MultifdWriter(const GuestBlocks& blocks) : blocks_(blocks) {}

  std::span<iovec> write(const PageBatch& batch, const Skip& skip, bool whole_zeros) override {
    pieces_.clear();
    if (whole_zeros) zeros_.resize(batch.page_size);
    slots_ = kMultifdPacketBytes / batch.page_size;
    batch.each([&](uint16_t block, uint64_t index, const uint8_t* content) {
      if (skipped(skip, block)) return;
      if (block != block_ || normal_.size() + zero_.size() == slots_) packet(batch.page_size);
      block_ = block;
      if (content || whole_zeros) {
        normal_.push_back({index, content ? content : zeros_.data()});
      } else {
        zero_.push_back(index);
      }
    });
    packet(batch.page_size);
    return pieces_.finish();
  }

 private:
  struct Page {
    uint64_t index;
    const uint8_t* content;
  };

  void packet(uint32_t page_size) {
    if (normal_.empty() && zero_.empty()) return;
    uint8_t* header = pieces_.header(320 + size_t{8} * slots_);
    put_be32(header, kMultifdMagic);
    put_be32(header + 4, kMultifdVersion);
    put_be32(header + 12, slots_);
    put_be32(header + 16, static_cast<uint32_t>(normal_.size()));
    put_be32(header + 20, static_cast<uint32_t>(normal_.size() * page_size));
    put_be64(header + 24, packets_++);
    put_be32(header + 32, static_cast<uint32_t>(zero_.size()));
    const std::string& name = blocks_.blocks[block_].name;
    std::copy(name.begin(), name.end(), header + 64);
    uint8_t* offset = header + 320;
    for (const Page& page : normal_) {
      put_be64(offset, page.index * page_size);
      offset += 8;
    }
    for (uint64_t index : zero_) {
      put_be64(offset, index * page_size);
      offset += 8;
    }
    for (const Page& page : normal_) pieces_.page(page.content, page_size);
    normal_.clear();
    zero_.clear();
  }

  const GuestBlocks& blocks_;
  uint32_t slots_ = 0;
  uint16_t block_ = 0;
  uint64_t packets_ = 0;
  std::vector<Page> normal_;
  std::vector<uint64_t> zero_;
  std::vector<uint8_t> zeros_;  // one page of zeros
  Pieces pieces_;
};

}  // namespace

std::unique_ptr<PageWriter> make_main_writer(const GuestBlocks& blocks) {
  return std::make_unique<MainWriter>(blocks);
}

std::unique_ptr<PageWriter> make_multifd_writer(const GuestBlocks& blocks) {
  return std::make_unique<MultifdWriter>(blocks);
}

}  // namespace wherry::qemu
