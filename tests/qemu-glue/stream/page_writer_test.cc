#include "qemu-glue/stream/page_writer.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/qemu-glue/stream/support.h"

namespace wherry::qemu {
namespace {

using test::Bytes;
using test::ByteVector;
using test::kPage;

const GuestBlocks& two_blocks() {
  static const GuestBlocks blocks{4096, {{"pc.ram", 1 << 20}, {"vga.vram", 8 * kPage}}, ""};
  return blocks;
}
const ByteVector& content(char c) {
  static std::map<char, ByteVector> all;
  return all.try_emplace(c, kPage, static_cast<uint8_t>(c)).first->second;
}

struct P {
  uint16_t block;
  uint64_t index;
  char content;  // 0: a zero page
};
ByteVector written(PageWriter& writer, const std::vector<P>& pages, const Skip& skip = {},
                   bool whole_zeros = false) {
  PageBatch batch;
  batch.page_size = kPage;
  for (const P& page : pages)
    batch.add(page.block, page.index, page.content ? content(page.content).data() : nullptr);
  ByteVector bytes;
  for (const iovec& piece : writer.write(batch, skip, whole_zeros)) {
    bytes.insert(bytes.end(), static_cast<uint8_t*>(piece.iov_base),
                 static_cast<uint8_t*>(piece.iov_base) + piece.iov_len);
  }
  return bytes;
}

TEST(PageWriter, MainNamesABlockWhenItChanges) {
  auto writer = make_main_writer(two_blocks());
  EXPECT_EQ(written(*writer, {{0, 3, 'a'}, {0, 4, 0}, {1, 0, 'b'}}),
            Bytes()
                .u64(3 * kPage | kRamPage)
                .text("pc.ram")
                .add(content('a'))
                .u64(4 * kPage | kRamZero | kRamContinue)
                .u8(0)
                .u64(kRamPage)
                .text("vga.vram")
                .add(content('b'))
                .get());
  // The last block is remembered from batch to batch.
  EXPECT_EQ(written(*writer, {{1, 1, 0}}), Bytes().u64(kPage | kRamZero | kRamContinue).u8(0).get());
}

TEST(PageWriter, MainForgetsABlockThatItLeavesOut) {
  auto writer = make_main_writer(two_blocks());
  const Skip ram{true, false};
  EXPECT_EQ(written(*writer, {{0, 0, 'a'}, {1, 0, 0}, {0, 1, 'a'}, {1, 1, 0}}, ram),
            Bytes().u64(kRamZero).text("vga.vram").u8(0).u64(kPage | kRamZero | kRamContinue).u8(0).get());
  EXPECT_EQ(written(*writer, {{0, 0, 'a'}}, ram), ByteVector());
  EXPECT_EQ(written(*writer, {{0, 0, 0}}), Bytes().u64(kRamZero).text("pc.ram").u8(0).get());
}

TEST(PageWriter, MultifdPutsOneBlockInAPacket) {
  auto writer = make_multifd_writer(two_blocks());
  const ByteVector bytes = written(*writer, {{0, 9, 0}, {0, 3, 'a'}, {0, 5, 'b'}, {1, 7, 'c'}});
  ASSERT_EQ(bytes.size(), 1344 + 2 * kPage + 1344 + kPage);
  const uint8_t* first = bytes.data();
  EXPECT_EQ(be32(first), kMultifdMagic);
  EXPECT_EQ(be32(first + 4), kMultifdVersion);
  EXPECT_EQ(be32(first + 8), 0u);
  EXPECT_EQ(be32(first + 12), 128u);
  EXPECT_EQ(be32(first + 16), 2u);
  EXPECT_EQ(be32(first + 20), 2 * kPage);
  EXPECT_EQ(be32(first + 32), 1u);
  EXPECT_STREQ(reinterpret_cast<const char*>(first + 64), "pc.ram");
  // Zero pages come after the others.
  EXPECT_EQ(be64(first + 320), 3 * kPage);
  EXPECT_EQ(be64(first + 328), 5 * kPage);
  EXPECT_EQ(be64(first + 336), 9 * kPage);
  EXPECT_EQ(be64(first + 344), 0u);
  EXPECT_EQ(std::memcmp(first + 1344, content('a').data(), kPage), 0);
  EXPECT_EQ(std::memcmp(first + 1344 + kPage, content('b').data(), kPage), 0);
  const uint8_t* second = first + 1344 + 2 * kPage;
  EXPECT_EQ(be32(second + 16), 1u);
  EXPECT_EQ(be64(second + 24), be64(first + 24) + 1);
  EXPECT_STREQ(reinterpret_cast<const char*>(second + 64), "vga.vram");
  EXPECT_EQ(be64(second + 320), 7 * kPage);
}

TEST(PageWriter, MultifdWritesOutZeroPages) {
  auto writer = make_multifd_writer(two_blocks());
  const ByteVector bytes = written(*writer, {{0, 9, 0}, {0, 3, 'a'}}, {}, true);
  ASSERT_EQ(bytes.size(), 1344 + 2 * kPage);
  EXPECT_EQ(be32(&bytes[16]), 2u);
  EXPECT_EQ(be32(&bytes[32]), 0u);
  EXPECT_EQ(be64(&bytes[320]), 9 * kPage);
  EXPECT_EQ(ByteVector(bytes.begin() + 1344, bytes.begin() + 1344 + kPage), ByteVector(kPage, 0));
}

TEST(PageWriter, MultifdFillsNoPacketBeyondItsSlots) {
  auto writer = make_multifd_writer(two_blocks());
  std::vector<P> pages;
  for (uint64_t i = 0; i < 200; ++i) pages.push_back({0, i, i % 2 ? 'a' : '\0'});
  const ByteVector bytes = written(*writer, pages);
  ASSERT_EQ(bytes.size(), 2 * 1344 + 100 * kPage);
  EXPECT_EQ(be32(&bytes[16]) + be32(&bytes[32]), 128u);
  EXPECT_EQ(written(*writer, {{0, 0, 'a'}}, {true}), ByteVector());
}

}  // namespace
}  // namespace wherry::qemu
