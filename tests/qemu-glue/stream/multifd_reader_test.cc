#include "qemu-glue/stream/multifd_reader.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "qemu-glue/stream/main_reader.h"
#include "tests/qemu-glue/stream/support.h"

namespace wherry::qemu {
namespace {

using test::Bytes;
using test::ByteVector;
using test::Capture;
using test::kPage;
using test::Page;
using test::Recorder;

const GuestBlocks& some_blocks() {
  static const GuestBlocks blocks{4096, {{"pc.ram", 1 << 20}, {"vga.vram", 8 * kPage}, {"odd", 100000}}, ""};
  return blocks;
}

Bytes greeting() {
  return Bytes().u32(kMultifdMagic).u32(kMultifdVersion).fill(56, 0);
}

struct Packet {
  uint32_t flags = 0;
  uint32_t normal = 0, zero = 0;
  std::vector<uint64_t> offsets = {};
  std::string block = "pc.ram";
  uint32_t stale_size = 0;
  uint32_t slots = 128;
  operator Bytes() const {
    Bytes bytes;
    bytes.u32(kMultifdMagic).u32(kMultifdVersion).u32(flags).u32(slots).u32(normal);
    bytes.u32(stale_size ? stale_size : normal * kPage).u64(7).u32(zero).fill(28, 0);
    bytes.add(ByteVector(block.begin(), block.end())).fill(256 - block.size(), 0);
    for (uint32_t i = 0; i < slots; ++i) bytes.u64(i < offsets.size() ? offsets[i] : 0);
    for (uint32_t i = 0; i < normal; ++i) bytes.fill(kPage, static_cast<uint8_t>(i + 1));
    return bytes;
  }
};

// Reads the stream at once and in small pieces: the results must be equal.
Recorder read_packets(const ByteVector& stream, const GuestBlocks* blocks = &some_blocks()) {
  Recorder whole(make_multifd_writer, some_blocks()), pieces(make_multifd_writer, some_blocks());
  RepeatedPages of_whole, of_pieces;
  MultifdReader reader(
      whole, [=] { return blocks; }, of_whole);
  const ByteVector rest = test::feed(reader, stream);
  whole.flush();
  EXPECT_EQ(whole.accounted + rest.size(), stream.size());
  MultifdReader again(
      pieces, [=] { return blocks; }, of_pieces);
  test::feed(again, stream, 60, 1);
  pieces.flush();
  EXPECT_EQ(whole.pages, pieces.pages);
  EXPECT_EQ(whole.relayed, pieces.relayed);
  EXPECT_EQ(whole.epochs, pieces.epochs);
  EXPECT_EQ(whole.opaque_because, pieces.opaque_because);
  return whole;
}

// A packet that the reader cannot parse is carried unchanged, and so is everything after it.
void expect_opaque(const ByteVector& packet, const std::string& why,
                   const GuestBlocks* blocks = &some_blocks()) {
  const ByteVector stream =
      Bytes().add(greeting()).add(Packet{kMultifdSync}).add(packet).add(Packet{.normal = 1});
  const Recorder seen = read_packets(stream, blocks);
  EXPECT_EQ(seen.opaque_because, why);
  EXPECT_TRUE(seen.opaque_needs_pages);
  EXPECT_EQ(seen.relayed, stream);
  EXPECT_EQ(seen.pages.size(), 0u);
}

TEST(MultifdReader, FindsPagesAndEpochs) {
  const Recorder seen =
      read_packets(Bytes()
                       .add(greeting())
                       .add(Packet{.normal = 2, .zero = 1, .offsets = {0, 3 * kPage, 2 * kPage}})
                       .add(Packet{kMultifdSync})
                       .add(Packet{.normal = 1, .offsets = {7 * kPage}, .block = "vga.vram"})
                       .add(Packet{kMultifdSync}));
  EXPECT_EQ(seen.opaque_because, "");
  EXPECT_EQ(seen.epochs, 2u);
  ASSERT_EQ(seen.pages.size(), 4u);
  EXPECT_EQ(seen.pages[0], (Page{"pc.ram", 0, ByteVector(kPage, 1), 0}));
  EXPECT_EQ(seen.pages[1], (Page{"pc.ram", 3 * kPage, ByteVector(kPage, 2), 0}));
  EXPECT_EQ(seen.pages[2], (Page{"pc.ram", 2 * kPage, {}, 0}));
  EXPECT_EQ(seen.pages[3], (Page{"vga.vram", 7 * kPage, ByteVector(kPage, 1), 1}));
}

// As QEMU before 9.0 sends it.
TEST(MultifdReader, PutsASyncBehindThePagesOfItsPacket) {
  const Recorder seen = read_packets(
      Bytes().add(greeting()).add(Packet{.flags = kMultifdSync, .normal = 1, .offsets = {kPage}}));
  EXPECT_EQ(seen.epochs, 1u);
  ASSERT_EQ(seen.pages.size(), 1u);
  EXPECT_EQ(seen.pages[0].epoch, 0u);
  const ByteVector relayed = Bytes().add(greeting()).add(Packet{.normal = 1, .offsets = {kPage}});
  ASSERT_EQ(seen.relayed.size(), relayed.size() + 1344);
  const uint8_t* sync = seen.relayed.data() + relayed.size();
  EXPECT_EQ(be32(sync + 8), kMultifdSync);
  EXPECT_EQ(be32(sync + 16), 0u);
  EXPECT_EQ(be32(sync + 20), 0u);
  EXPECT_EQ(be32(sync + 32), 0u);
}

// QEMU 7.2
TEST(MultifdReader, APageThatFillsAPacketAndComesAgainIsCarriedOnce) {
  std::vector<uint64_t> full(128);
  for (uint64_t i = 0; i < full.size(); ++i) full[i] = i * kPage;
  const uint64_t last = full.back();
  for (const std::vector<uint64_t>& next : {std::vector{last, last + kPage}, std::vector{last}}) {
    const auto count = static_cast<uint32_t>(next.size());
    const Recorder seen = read_packets(Bytes()
                                           .add(greeting())
                                           .add(Packet{.normal = 128, .offsets = full})
                                           .add(Packet{.normal = count, .offsets = next})
                                           .add(Packet{kMultifdSync})
                                           .add(Packet{.normal = count, .offsets = next}));
    EXPECT_EQ(seen.pages.size(), 128u + (count - 1) + count) << "but it is in the next epoch";
    EXPECT_EQ(seen.pages[127].offset, last);
    EXPECT_EQ(seen.pages[127].content, ByteVector(kPage, 128));
  }
}

// QEMU 7.2
TEST(MultifdReader, IgnoresStaleFieldsOfAnEmptyPacket) {
  const ByteVector stream = Bytes()
                                .add(greeting())
                                .add(Packet{.offsets = {1, 2, 3}, .block = "nobody", .stale_size = 5 * kPage})
                                .add(Packet{kMultifdSync, 0, 0, {4}, "nobody", kPage});
  const Recorder seen = read_packets(stream);
  EXPECT_EQ(seen.opaque_because, "");
  EXPECT_EQ(seen.epochs, 1u);
  EXPECT_EQ(seen.relayed, stream);
}

TEST(MultifdReader, CarriesDeviceStateOfAnyLength) {
  auto device_state = [](uint32_t length) {
    return Bytes()
        .u32(kMultifdMagic)
        .u32(kMultifdVersion)
        .u32(kMultifdDeviceState)
        .fill(260, 'x')
        .u32(length)
        .fill(length, 'd');
  };
  const ByteVector stream = Bytes()
                                .add(greeting())
                                .add(Packet{kMultifdSync})
                                .add(device_state(1))
                                .add(device_state(kSlotBytes + 12345))
                                .add(device_state(0))
                                .add(Packet{.normal = 1});
  const Recorder seen = read_packets(stream);
  EXPECT_EQ(seen.opaque_because, "");
  EXPECT_EQ(seen.pages.size(), 1u);
  EXPECT_EQ(ByteVector(seen.relayed.begin(), seen.relayed.end() - 1344 - kPage),
            ByteVector(stream.begin(), stream.end() - 1344 - kPage));
}

TEST(MultifdReader, TakesPageSizesOtherThan4K) {
  GuestBlocks blocks{65536, {{"mach-virt.ram", 1 << 20}}, ""};
  Bytes stream;
  stream.add(greeting())
      .u32(kMultifdMagic)
      .u32(kMultifdVersion)
      .u32(0)
      .u32(8)
      .u32(8)
      .u32(8 * 65536)
      .u64(0)
      .fill(32, 0);
  const std::string name = "mach-virt.ram";
  stream.add(ByteVector(name.begin(), name.end())).fill(256 - name.size(), 0);
  for (int i = 0; i < 8; ++i) stream.u64(65536u * i);
  stream.fill(8 * 65536, 'p');
  Recorder seen(make_multifd_writer, blocks);
  RepeatedPages repeated;
  MultifdReader reader(
      seen, [&] { return &blocks; }, repeated);
  EXPECT_TRUE(test::feed(reader, stream).empty());
  EXPECT_EQ(seen.pages.size(), 8u);
}

// In a SYNC, QEMU 10.0 and 11.1 write 0 for the number of slots, and zeros in the slots.
TEST(MultifdReader, TakesASyncThatDoesNotSayHowLongItIs) {
  for (const uint32_t slots : {128, 64, 32}) {
    const auto sync = [=] {
      Bytes bytes;
      bytes.u32(kMultifdMagic).u32(kMultifdVersion).u32(kMultifdSync).u32(0);
      return bytes.fill(304 + 8 * slots, 0);
    };
    Packet page{.normal = 1, .offsets = {kPage}};
    page.slots = slots;
    const ByteVector stream =
        Bytes().add(greeting()).add(sync()).add(sync()).add(page).add(sync()).add(page).add(sync());
    const Recorder seen = read_packets(stream);
    if (slots == 128) {
      EXPECT_EQ(seen.opaque_because, "");
      EXPECT_EQ(seen.epochs, 4u);
      EXPECT_EQ(seen.pages.size(), 2u);
    } else {
      EXPECT_EQ(seen.opaque_because, "multifd packets with a page size other than the RAM blocks'");
      EXPECT_EQ(seen.epochs, 2u);
      EXPECT_EQ(seen.relayed, stream) << "the last packet too is carried whole, though nothing follows it";
    }
  }
}

TEST(MultifdReader, RefusesWhatItDoesNotKnow) {
  ByteVector packet = Bytes(Packet{.normal = 1});
  packet[0] ^= 1;
  expect_opaque(packet, "not a multifd packet");
  packet[0] ^= 1;
  packet[7] = 2;
  expect_opaque(packet, "not a multifd packet");
  expect_opaque(Bytes(Packet{.flags = 2, .normal = 1}), "multifd-compression");
  expect_opaque(Bytes(Packet{.flags = 4 | kMultifdSync}), "multifd-compression");
  expect_opaque(Bytes(Packet{.flags = 0x20}), "multifd-compression");
  expect_opaque(Bytes(Packet{.flags = 0x80}), "a multifd packet with unknown flags");
  expect_opaque(Bytes(Packet{.flags = kMultifdDeviceState | kMultifdSync}),
                "a multifd packet with unknown flags");
}

TEST(MultifdReader, RefusesPagesThatCannotBe) {
  expect_opaque(Bytes(Packet{.normal = 129}), "a multifd packet with too many pages");
  expect_opaque(Bytes(Packet{.normal = 100, .zero = 29}), "a multifd packet with too many pages");
  expect_opaque(Bytes(Packet{.normal = 1, .zero = UINT32_MAX}), "a multifd packet with too many pages");
  expect_opaque(Bytes(Packet{.zero = 1, .block = "pc.rom"}), "a multifd packet of an unknown RAM block");
  expect_opaque(Bytes(Packet{.zero = 1, .block = std::string(256, 'x')}),
                "a multifd packet of an unknown RAM block");
  expect_opaque(Bytes(Packet{.normal = 1, .offsets = {8 * kPage}, .block = "vga.vram"}),
                "a multifd page outside its RAM block");
  expect_opaque(Bytes(Packet{.zero = 1, .offsets = {24 * kPage}, .block = "odd"}),
                "a multifd page outside its RAM block");
  expect_opaque(Bytes(Packet{.zero = 1, .offsets = {12}}), "a multifd page outside its RAM block");
  expect_opaque(Bytes(Packet{.normal = 1, .zero = 1, .offsets = {0, UINT64_MAX - 4095}}),
                "a multifd page outside its RAM block");
}

TEST(MultifdReader, RefusesPagesOfAGuestThatNobodyDescribes) {
  const ByteVector stream = Bytes().add(greeting()).add(Packet{.normal = 1});
  const Recorder seen = read_packets(stream, nullptr);
  EXPECT_EQ(seen.opaque_because, "the main channel does not name the RAM blocks");
  EXPECT_EQ(seen.relayed, stream);
}

// An independent decoder of the packets that QEMU sends and accepts, to compare with.
struct Decoded {
  std::vector<Page> pages;
  uint32_t epochs = 0;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(const ByteVector& stream) {
  Decoded found;
  for (size_t at = 64; at < stream.size();) {
    const uint8_t* header = &stream.at(at);
    const uint32_t normal = be32(header + 16), zero = be32(header + 32);
    for (uint32_t i = 0; i < normal + zero; ++i) {
      Page page{reinterpret_cast<const char*>(header + 64), be64(header + 320 + 8 * i), {}, found.epochs};
      const uint8_t* content = header + 1344 + size_t{i} * kPage;
      if (i < normal) page.content.assign(content, content + kPage);
      found.pages.push_back(page);
    }
    if (be32(header + 8) & kMultifdSync) ++found.epochs;
    at += 1344 + size_t{normal} * kPage;
  }
  return found;
}

class MultifdCaptures : public testing::TestWithParam<std::string> {};

TEST_P(MultifdCaptures, ComeOutAsTheyWere) {
  const Capture capture(GetParam());
  const bool compressed = !capture.made["parameters"].empty();
  ASSERT_EQ(capture.connections.size(), 1 + capture.made["multifd"].get<size_t>());
  Recorder main(make_main_writer);
  MainReader main_reader(main);
  test::feed(main_reader, capture.connections[0].forward);
  for (size_t chunk : test::kChunks) {
    std::vector<std::unique_ptr<Recorder>> channels;
    std::vector<const Recorder*> all{&main};
    RepeatedPages repeated;
    for (size_t i = 1; i < capture.connections.size(); ++i) {
      const ByteVector& stream = capture.connections[i].forward;
      Recorder& seen = *channels.emplace_back(std::make_unique<Recorder>(make_multifd_writer, main.known));
      MultifdReader reader(
          seen, [&] { return &main.known; }, repeated);
      EXPECT_TRUE(test::feed(reader, stream, chunk, 42).empty());
      seen.flush();
      EXPECT_EQ(seen.accounted, stream.size());
      all.push_back(&seen);
      if (compressed) {
        EXPECT_EQ(seen.opaque_because, "multifd-compression");
        EXPECT_EQ(seen.relayed, stream);
        continue;
      }
      EXPECT_EQ(seen.opaque_because, "");
      const Decoded sent = decode(stream);
      EXPECT_EQ(sent, (Decoded{{seen.pages.begin(), seen.pages.end()}, seen.epochs}));
      EXPECT_EQ(sent, decode(seen.relayed));
      EXPECT_EQ(seen.epochs, main.epochs);
      EXPECT_GE(seen.epochs, 4u);
    }
    if (!compressed) {
      EXPECT_EQ(test::landed_ram(capture, all), capture.made["ram_fnv1a"].get<std::string>());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, MultifdCaptures, testing::ValuesIn(test::captures([](const auto& made) {
                           return made["multifd"] > 0;
                         })),
                         test::case_name);

}  // namespace
}  // namespace wherry::qemu
