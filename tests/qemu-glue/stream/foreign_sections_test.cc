#include "qemu-glue/stream/foreign_sections.h"

#include <gtest/gtest.h>

#include "qemu-glue/stream/main_reader.h"
#include "tests/qemu-glue/stream/support.h"

namespace wherry::qemu {
namespace {

using test::Bytes;
using test::ByteVector;
using Kind = ForeignRecord::Kind;

void expect_record(ForeignSection section, const ByteVector& head, Kind kind, uint64_t data = 0) {
  ByteVector more = head;
  more.insert(more.end(), 5, 0x7e);
  const ForeignRecord record = foreign_record(section, more);
  EXPECT_EQ(record.kind, kind);
  EXPECT_EQ(record.head, head.size());
  EXPECT_EQ(record.data, data);
  EXPECT_LE(record.head, kLongestForeignHead);
  for (size_t length = 0; length < head.size(); ++length) {
    EXPECT_EQ(foreign_record(section, std::span(head).first(length)).kind, Kind::needs_more) << length;
  }
}

TEST(ForeignSections, AreKnownByNameAndVersion) {
  EXPECT_EQ(foreign_section("dirty-bitmap", 1), ForeignSection::dirty_bitmap);
  EXPECT_EQ(foreign_section("block", 1), ForeignSection::block);
  EXPECT_EQ(foreign_section("vfio", 1), ForeignSection::vfio);
  EXPECT_EQ(foreign_section("0000:00:02.0/vfio", 1), ForeignSection::vfio);
  for (const char* name : {"spapr/htab", "xvfio", "block2", "s390-storage_attributes", ""}) {
    EXPECT_EQ(foreign_section(name, 1), std::nullopt) << name;
  }
  for (const char* name : {"dirty-bitmap", "block", "vfio"})
    EXPECT_EQ(foreign_section(name, 2), std::nullopt) << name;
}

TEST(ForeignSections, DirtyBitmap) {
  const auto section = ForeignSection::dirty_bitmap;
  const std::string longest(255, 'n');
  expect_record(section, Bytes().u8(0x1c).text("disk0").text("b0").u32(512).u8(1), Kind::inner);
  expect_record(section, Bytes().u8(0x10).u32(512).u8(1), Kind::inner);
  expect_record(section, Bytes().u8(0x4c).text(longest).text(longest).u64(0).u32(8192).u64(1024), Kind::inner,
                1024);
  expect_record(section, Bytes().u8(0x42).u64(0).u32(8192), Kind::inner);
  expect_record(section, Bytes().u8(0x24).text("b0"), Kind::inner);
  expect_record(section, Bytes().u8(0x01), Kind::last);
  for (uint8_t flags : {0x00, 0x11, 0x30, 0x50, 0x80}) {
    EXPECT_EQ(foreign_record(section, ByteVector(64, flags)).kind, Kind::unknown) << int{flags};
  }
}

TEST(ForeignSections, Block) {
  const auto section = ForeignSection::block;
  expect_record(section, Bytes().u64(2048 << 9 | 1).text("ide0-hd0"), Kind::inner, 1 << 20);
  expect_record(section, Bytes().u64(2048 << 9 | 1 | 8).text("ide0-hd0"), Kind::inner);
  expect_record(section, Bytes().u64(55 << 9 | 4), Kind::inner);
  expect_record(section, Bytes().u64(2), Kind::last);
  for (uint64_t flags : {0, 3, 8, 16}) {
    EXPECT_EQ(foreign_record(section, Bytes().u64(flags).get()).kind, Kind::unknown) << flags;
  }
}

TEST(ForeignSections, Vfio) {
  const auto section = ForeignSection::vfio;
  expect_record(section, Bytes().u64(0xffffffffef100003), Kind::inner);
  expect_record(section, Bytes().u64(0xffffffffef100004).u64(0), Kind::inner);
  expect_record(section, Bytes().u64(0xffffffffef100004).u64(uint64_t{5} << 30), Kind::inner,
                uint64_t{5} << 30);
  for (uint64_t tag : {0xffffffffef100001, 0xffffffffef100005, 0xffffffffef100006}) {
    expect_record(section, Bytes().u64(tag), Kind::last);
  }
  for (uint64_t tag : {0xffffffffef100002, 0xffffffffef100007, uint64_t{0}}) {
    EXPECT_EQ(foreign_record(section, Bytes().u64(tag).get()).kind, Kind::unknown) << tag;
  }
}

// Bitmaps with bits set are parsed to their end: the stream becomes opaque only at the device state after
// them.
TEST(ForeignSections, CapturedBitmaps) {
  for (const char* name : {"dirty-bitmaps-10.0", "dirty-bitmaps-7.2-multifd"}) {
    const ByteVector stream = test::Capture(name).connections[0].forward;
    test::Recorder seen(make_main_writer);
    MainReader reader(seen);
    test::feed(reader, stream);
    EXPECT_EQ(seen.opaque_because, "device state");
    const ByteVector start = Bytes().u8(0x1c).text("disk0");
    const ByteVector bits = Bytes().u64(0).u32(8192).u64(1024).u8(0xff);
    const auto end = stream.begin() + static_cast<ptrdiff_t>(seen.opaque_at);
    for (const ByteVector& part : {start, bits}) {
      EXPECT_NE(std::search(stream.begin(), end, part.begin(), part.end()), end) << name;
    }
  }
}

}  // namespace
}  // namespace wherry::qemu
