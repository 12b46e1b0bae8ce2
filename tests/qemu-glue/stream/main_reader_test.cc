#include "qemu-glue/stream/main_reader.h"

#include <gtest/gtest.h>

#include "tests/qemu-glue/stream/support.h"

namespace wherry::qemu {
namespace {

using test::Bytes;
using test::ByteVector;
using test::Capture;
using test::kPage;
using test::Page;
using test::Recorder;

constexpr uint32_t kRamId = 2;

Bytes file_header() {
  return Bytes().u32(kFileMagic).u32(kFileVersion);
}
Bytes header() {
  return Bytes().add(file_header()).u8(kConfiguration).u32(2).add({'p', 'c'});
}
Bytes subsection(const std::string& name, uint32_t version = 1) {
  return Bytes().u8(kSubsection).text(name).u32(version);
}
Bytes section(uint8_t type, uint32_t id, const std::string& name, uint32_t version) {
  return Bytes().u8(type).u32(id).text(name).u32(0).u32(version);
}
Bytes more(uint8_t type, uint32_t id) {
  return Bytes().u8(type).u32(id);
}
Bytes footer(uint32_t id) {
  return Bytes().u8(kSectionFooter).u32(id);
}
Bytes command(uint16_t number, const ByteVector& body = {}) {
  return Bytes().u8(kCommand).u16(number).u16(static_cast<uint16_t>(body.size())).add(body);
}
Bytes eos() {
  return Bytes().u64(kRamEos);
}
// START(ram) of pc.ram with 16 pages and vga.vram with 4
Bytes ram_start() {
  return Bytes()
      .add(section(kSectionStart, kRamId, "ram", kRamVersion))
      .u64(20 * kPage | kRamMemSize)
      .text("pc.ram")
      .u64(16 * kPage)
      .text("vga.vram")
      .u64(4 * kPage);
}
Bytes setup() {
  return Bytes().add(header()).add(ram_start()).add(eos()).add(footer(kRamId));
}
Bytes page(uint64_t index, uint8_t value, const std::string& block = "", uint64_t flags = kRamPage) {
  Bytes bytes;
  bytes.u64(index * kPage | flags | (block.empty() ? kRamContinue : 0));
  if (!block.empty()) bytes.text(block);
  return bytes.fill(flags == kRamZero ? 1 : kPage, value);
}
Bytes part() {
  return more(kSectionPart, kRamId);
}

// Reads the stream at once and in pieces: the results must be equal, and every byte accounted for.
Recorder read(const ByteVector& stream) {
  Recorder whole(make_main_writer), pieces(make_main_writer);
  MainReader reader(whole);
  const ByteVector rest = test::feed(reader, stream);
  whole.flush();
  EXPECT_EQ(whole.accounted + rest.size(), stream.size());
  MainReader again(pieces);
  test::feed(again, stream, 20, 1);
  pieces.flush();
  EXPECT_EQ(whole.relayed, pieces.relayed);
  EXPECT_EQ(whole.pages, pieces.pages);
  EXPECT_EQ(whole.epochs, pieces.epochs);
  EXPECT_EQ(whole.opaque_because, pieces.opaque_because);
  return whole;
}

// Expects that the reader parses `good`, becomes opaque at the start of `tail`, and carries `tail` unchanged.
Recorder expect_opaque(const Bytes& good, const Bytes& tail, const std::string& why) {
  const ByteVector stream = Bytes().add(good).add(tail).fill(70000, 'z');
  Recorder seen = read(stream);
  EXPECT_EQ(seen.opaque_because, why);
  EXPECT_EQ(seen.opaque_at, good.get().size());
  EXPECT_EQ(seen.relayed, stream);
  return seen;
}

// Expects that `stream` is parsed to its end.
Recorder expect_parsed(const ByteVector& stream) {
  Recorder seen = read(stream);
  EXPECT_EQ(seen.opaque_because, "");
  EXPECT_EQ(seen.accounted, stream.size());
  EXPECT_EQ(seen.relayed, stream);
  return seen;
}

TEST(MainReader, FindsBlocksPagesAndEpochs) {
  const Recorder seen = expect_parsed(Bytes()
                                          .add(setup())
                                          .add(part())
                                          .add(page(0, 'a', "pc.ram"))
                                          .add(page(1, 0, "", kRamZero))
                                          .add(page(3, 'v', "vga.vram"))
                                          .add(eos())
                                          .add(footer(kRamId))
                                          .add(more(kSectionEnd, kRamId))
                                          .add(page(2, 'w'))
                                          .add(eos())
                                          .add(footer(kRamId)));
  ASSERT_EQ(seen.known.blocks.size(), 2u);
  EXPECT_EQ(seen.known.page_size, kPage);
  EXPECT_EQ(seen.known.blocks[0].name, "pc.ram");
  EXPECT_EQ(seen.known.blocks[0].length, 16 * kPage);
  EXPECT_EQ(seen.known.blocks[1].name, "vga.vram");
  EXPECT_EQ(seen.known.blocks[1].length, 4 * kPage);
  EXPECT_EQ(seen.epochs, 3u);
  ASSERT_EQ(seen.pages.size(), 4u);
  EXPECT_EQ(seen.pages[0], (Page{"pc.ram", 0, ByteVector(kPage, 'a'), 1}));
  EXPECT_EQ(seen.pages[1], (Page{"pc.ram", kPage, {}, 1}));
  EXPECT_EQ(seen.pages[2], (Page{"vga.vram", 3 * kPage, ByteVector(kPage, 'v'), 1}));
  EXPECT_EQ(seen.pages[3], (Page{"vga.vram", 2 * kPage, ByteVector(kPage, 'w'), 2}));
  EXPECT_TRUE(seen.pages_end);
  EXPECT_EQ(seen.pages_end, seen.relayed.size());
  EXPECT_EQ(seen.setup_end, setup().get().size());
}

TEST(MainReader, WantsTheHeaderAlone) {
  Recorder recorder(make_main_writer);
  MainReader reader(recorder);
  ByteVector header = file_header();
  EXPECT_EQ(reader.wants({}).at_most, 8u);
  EXPECT_EQ(reader.wants(std::span(header).first(3)).at_most, 5u);
  EXPECT_EQ(reader.read(header), 8u);
  EXPECT_GT(reader.wants({}).at_most, 64u * 1024);
}

TEST(MainReader, SendsTheFooterOfTheSetupAhead) {
  const ByteVector stream = Bytes().add(header()).add(ram_start()).add(eos());
  const Recorder seen = read(stream);
  EXPECT_TRUE(seen.expects_setup_end);
  EXPECT_EQ(seen.relayed, setup().get());
  EXPECT_EQ(seen.setup_end, seen.relayed.size());
}

TEST(MainReader, TakesEpochsFromMultifdFlushesIfTheSetupHasOne) {
  const Bytes flush = Bytes().u64(kRamMultifdFlush);
  const Recorder seen = expect_parsed(Bytes()
                                          .add(header())
                                          .add(ram_start())
                                          .add(flush)
                                          .add(eos())
                                          .add(footer(kRamId))
                                          .add(part())
                                          .add(eos())
                                          .add(footer(kRamId))
                                          .add(part())
                                          .add(flush)
                                          .add(eos())
                                          .add(footer(kRamId))
                                          .add(more(kSectionEnd, kRamId))
                                          .add(flush)
                                          .add(flush)
                                          .add(eos())
                                          .add(footer(kRamId)));
  EXPECT_EQ(seen.epochs, 4u);
}

// As with machine types up to 2.3.
TEST(MainReader, DoesWithoutConfigurationAndFooters) {
  const Recorder seen = expect_parsed(Bytes()
                                          .add(file_header())
                                          .add(ram_start())
                                          .add(eos())
                                          .add(part())
                                          .add(page(0, 'a', "pc.ram"))
                                          .add(eos())
                                          .add(more(kSectionEnd, kRamId))
                                          .add(page(1, 'b'))
                                          .add(eos())
                                          .add(more(kSectionPart, kRamId)));
  EXPECT_FALSE(seen.expects_setup_end);
  EXPECT_EQ(seen.setup_end, 0u);
  EXPECT_EQ(seen.pages.size(), 2u);
  EXPECT_TRUE(seen.pages_end);
}

TEST(MainReader, ReadsTheConfiguration) {
  Bytes stream;
  stream.add(header());
  stream.add(subsection("configuration/uuid")).fill(16, 'u');
  stream.add(subsection("configuration/capabilities")).u32(1).text("x-ignore-shared");
  stream.add(subsection("configuration/target-page-bits")).u32(16);
  stream.add(section(kSectionStart, 1, "ram", kRamVersion)).u64(1 << 20 | kRamMemSize);
  stream.text("mach-virt.ram").u64(1 << 20).u64(0x40000000).add(eos()).add(footer(1));
  stream.add(more(kSectionPart, 1))
      .u64(0x30000 | kRamPage)
      .text("mach-virt.ram")
      .fill(65536, 'p')
      .add(eos())
      .add(footer(1));
  const Recorder seen = expect_parsed(stream);
  EXPECT_EQ(seen.known.page_size, 65536u);
  EXPECT_TRUE(seen.known.page_size_named);
  ASSERT_EQ(seen.pages.size(), 1u);
  EXPECT_EQ(seen.pages[0].offset, 0x30000u);
  EXPECT_EQ(seen.pages[0].content, ByteVector(65536, 'p'));
}

TEST(MainReader, ReadsCommands) {
  const Recorder seen = expect_parsed(Bytes()
                                          .add(header())
                                          .add(command(kCmdOpenReturnPath))
                                          .add(command(kCmdPing, Bytes().u32(1)))
                                          .add(command(kCmdPostcopyAdvise))
                                          .add(command(kCmdSwitchoverStart)));
  EXPECT_TRUE(seen.return_path);
  EXPECT_FALSE(seen.postcopy);
}

// With postcopy, the block list gives the page size of blocks with huge pages, and only of those.
TEST(MainReader, ReadsPageSizesInPostcopy) {
  for (bool first : {false, true}) {
    for (bool second : {false, true}) {
      Bytes stream;
      stream.add(header()).add(command(kCmdPostcopyAdvise, Bytes().u64(0x201000).u64(4096)));
      stream.add(section(kSectionStart, kRamId, "ram", kRamVersion)).u64(0x400000 | kRamMemSize);
      stream.text("a").u64(0x200000);
      if (first) stream.u64(0x200000);
      stream.text("b").u64(0x200000);
      if (second) stream.u64(0x200000);
      const Recorder seen = expect_parsed(stream.add(eos()).add(footer(kRamId)).add(part()).add(eos()));
      EXPECT_TRUE(seen.postcopy);
      EXPECT_TRUE(seen.known.page_size_named);
      ASSERT_EQ(seen.known.blocks.size(), 2u);
      EXPECT_EQ(seen.known.blocks[1].name, "b");
    }
  }
}

// As with alpha and sparc64, whose QEMU supports only one page size.
TEST(MainReader, AsksForAPageSizeThatTheStreamDoesNotName) {
  constexpr uint32_t kLarge = 8192;
  Bytes stream;
  stream.add(header()).add(ram_start()).add(eos()).add(footer(kRamId)).add(more(kSectionPart, kRamId));
  stream.u64(kLarge | kRamPage).text("pc.ram").fill(kLarge, 0);
  stream.u64(2 * kLarge | kRamZero | kRamContinue).u8(0).add(eos()).add(footer(kRamId));
  Recorder asks(make_main_writer);
  int asked = 0;
  MainReader reader(asks, [&] {
    ++asked;
    return std::optional(kLarge);
  });
  test::feed(reader, stream);
  asks.flush();
  EXPECT_EQ(asks.opaque_because, "");
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(asks.known.page_size, kLarge);
  EXPECT_TRUE(asks.known.page_size_named);
  ASSERT_EQ(asks.pages.size(), 2u);
  EXPECT_EQ(asks.pages[0].content.size(), kLarge);
  EXPECT_EQ(asks.pages[1].offset, 2 * kLarge);
  EXPECT_EQ(asks.relayed, stream.get());

  const Recorder guesses = read(stream);
  EXPECT_EQ(guesses.known.page_size, kPage);
  EXPECT_FALSE(guesses.known.page_size_named);
  EXPECT_NE(guesses.opaque_because, "");
  EXPECT_EQ(guesses.relayed, stream.get()) << "nothing is placed on a guess, so all is carried unchanged";

  // The page size of AVR.
  Recorder small(make_main_writer);
  MainReader other(small, [] { return std::optional(256u); });
  test::feed(other, stream);
  EXPECT_EQ(small.opaque_because, "unknown target page size");
  EXPECT_EQ(small.relayed, stream.get());
}

TEST(MainReader, ReadsTheEarlyStateOfVirtioMem) {
  for (uint64_t blocks : {1, 64, 65, 2000000}) {
    Bytes early = section(kSectionFull, 1, "0000:00:03.0/virtio-mem-device-early", 1);
    early.u64(0x100000000)
        .u64(blocks << 21)
        .u64(1 << 21)
        .u32(0)
        .u64(0)
        .fill((blocks + 63) / 64 * 8, 0xff)
        .add(footer(1));
    const Recorder seen =
        expect_parsed(Bytes().add(header()).add(early).add(ram_start()).add(eos()).add(footer(kRamId)));
    EXPECT_EQ(seen.known.blocks.size(), 2u);
  }
  Bytes odd =
      section(kSectionFull, 1, "x/virtio-mem-device-early", 1).u64(0).u64(1 << 21).u64(0).u32(0).u64(0);
  expect_opaque(header(), odd, "malformed state of a virtio-mem device");
}

TEST(MainReader, FollowsSectionsBesideRam) {
  const Recorder seen = expect_parsed(Bytes()
                                          .add(setup())
                                          .add(section(kSectionStart, 3, "block", 1))
                                          .u64(2)
                                          .add(footer(3))
                                          .add(section(kSectionStart, 4, "dirty-bitmap", 1))
                                          .u8(1)
                                          .add(footer(4))
                                          .add(section(kSectionStart, 5, "0000:00:04.0/vfio", 1))
                                          .u64(0xffffffffef100003)
                                          .u64(0xffffffffef100001)
                                          .add(footer(5))
                                          .add(part())
                                          .add(page(0, 'a', "pc.ram"))
                                          .add(eos())
                                          .add(footer(kRamId))
                                          .add(more(kSectionPart, 5))
                                          .u64(0xffffffffef100004)
                                          .u64(1 << 20)
                                          .fill(1 << 20, 'v')
                                          .u64(0xffffffffef100005)
                                          .add(footer(5))
                                          .add(more(kSectionEnd, 3))
                                          .u64(1)
                                          .text("disk")
                                          .fill(1 << 20, 'd')
                                          .u64(2)
                                          .add(footer(3))
                                          .add(more(kSectionEnd, kRamId))
                                          .add(page(1, 'b'))
                                          .add(eos())
                                          .add(footer(kRamId))
                                          .add(more(kSectionEnd, 4))
                                          .u8(1)
                                          .add(footer(4)));
  EXPECT_EQ(seen.pages.size(), 2u);
  EXPECT_EQ(seen.epochs, 3u);
  EXPECT_TRUE(seen.pages_end);
  EXPECT_LT(seen.pages_end, seen.relayed.size());

  const Bytes begun = Bytes().add(setup()).add(section(kSectionStart, 5, "vfio", 1));
  expect_opaque(begun, Bytes().u64(0xffffffffef100002), "an unknown record in a section other than RAM");
}

TEST(MainReader, RefusesAHeaderThatItDoesNotKnow) {
  expect_opaque({}, Bytes().u32(0x16030100).u32(kFileVersion),
                "it does not begin like a migration stream (TLS?)");
  expect_opaque({}, Bytes().u32(kFileMagic).u32(2), "unknown version of the migration stream");
  expect_opaque(file_header(), Bytes().u8(kConfiguration).u32(256), "a machine type longer than 255 bytes");
  expect_opaque(header(), subsection("configuration/colour"), "unknown subsection configuration/colour");
  expect_opaque(header(), subsection("configuration/uuid", 2),
                "unknown version of the subsection configuration/uuid");
  for (uint32_t bits : {0, 9, 17}) {
    expect_opaque(header(), subsection("configuration/target-page-bits").u32(bits),
                  "unknown target page size");
  }
  expect_opaque(header(), subsection("configuration/capabilities").u32(65), "more than 64 capabilities");
  expect_opaque(header(), subsection("configuration/capabilities").u32(1).text("mapped-ram"),
                "capability mapped-ram");
}

TEST(MainReader, RefusesSectionsThatItDoesNotKnow) {
  expect_opaque(header(), Bytes().u8(0x09), "unknown section type");
  expect_opaque(header(), Bytes().u8(kSectionEof), "unknown section type");
  expect_opaque(header(), section(kSectionStart, 1, "spapr/htab", 1), "unknown section spapr/htab");
  expect_opaque(header(), section(kSectionStart, 1, "dirty-bitmap", 2), "unknown section dirty-bitmap");
  expect_opaque(header(), section(kSectionStart, 1, "ram", 5), "unknown version of the section ram");
  expect_opaque(header(), section(kSectionStart, 1, "ram", kRamVersion).u64(kRamPage),
                "no list of RAM blocks");
  expect_opaque(header(), section(kSectionStart, 1, "ram", kRamVersion).u64(2 * kMaxGuestBytes | kRamMemSize),
                "no list of RAM blocks");
  expect_opaque(setup(), ram_start(), "no list of RAM blocks");
  expect_opaque(setup(), more(kSectionPart, 9), "a section continues without a start");
  EXPECT_FALSE(
      expect_opaque(setup(), section(kSectionFull, 9, "timer", 2), "device state").opaque_needs_pages);
}

TEST(MainReader, RefusesMalformedBlockLists) {
  const Bytes start =
      Bytes().add(header()).add(section(kSectionStart, 1, "ram", kRamVersion)).u64(2 * kPage | kRamMemSize);
  expect_opaque(start, Bytes().u8(0), "malformed list of RAM blocks");
  expect_opaque(start, Bytes().text("a").u64(3 * kPage), "malformed list of RAM blocks");
  const Bytes postcopy = Bytes()
                             .add(header())
                             .add(command(kCmdPostcopyAdvise, Bytes().u64(kPage).u64(kPage)))
                             .add(section(kSectionStart, 1, "ram", kRamVersion))
                             .u64(kPage | kRamMemSize);
  expect_opaque(postcopy, Bytes().text("a").u64(kPage).u64(0x3000), "malformed page size of a RAM block");
  expect_opaque(postcopy, Bytes().text("a").u64(kPage).u64(0x800), "malformed page size of a RAM block");
  for (const uint64_t size : {0ull, 512ull, 5000ull, 1ull << 17, 1ull << 32, (1ull << 32) + kPage})
    expect_opaque(Bytes().add(header()).add(command(kCmdPostcopyAdvise, Bytes().u64(0).u64(size))),
                  ram_start(), "unknown target page size");
}

TEST(MainReader, RefusesCommandsOfPostcopyAndUnknownOnes) {
  for (uint16_t number : {kCmdPostcopyListen, kCmdPostcopyRun, kCmdPostcopyRamDiscard, kCmdPackaged}) {
    expect_opaque(setup(), command(number), "postcopy");
  }
  for (uint16_t number : {kCmdPostcopyResume, kCmdRecvBitmap}) {
    expect_opaque(setup(), command(number), "postcopy recovery");
  }
  for (uint16_t number : {0, 8, 12}) expect_opaque(setup(), command(number), "unknown command");
}

TEST(MainReader, RefusesPagesThatCannotBe) {
  const Bytes good = Bytes().add(setup()).add(part()).add(page(0, 'a', "pc.ram"));
  const std::vector<std::pair<Bytes, std::string>> bad = {
      {page(0, 'a', "nobody"), "a page of an unknown RAM block"},
      {page(16, 'a'), "a page outside its RAM block"},
      {page(4, 'a', "vga.vram"), "a page outside its RAM block"},
      {page(1, 1, "", kRamZero), "a page filled with a value other than zero"},
      {Bytes().u64(kRamPage | kRamZero), "a RAM record with unknown flags"},
      {Bytes().u64(0x80), "a RAM record with unknown flags"},
      {Bytes().u64(0x400), "a RAM record with unknown flags"},
      {Bytes().u64(0), "a RAM record with unknown flags"},
      {Bytes().u64(kRamMemSize), "a RAM record with unknown flags"},
  };
  for (const auto& [record, why] : bad)
    EXPECT_TRUE(expect_opaque(good, record, why).opaque_needs_pages) << why;
  expect_opaque(Bytes().add(setup()).add(part()), page(0, 'a'), "a page that names no RAM block");
  expect_opaque(Bytes().add(good).add(eos()), footer(kRamId + 1), "the footer of a section that is not open");
}

// Pages that follow may omit the name of their block, which an earlier page gave.
TEST(MainReader, SaysThatTheRestRefersBack) {
  const Bytes pages =
      Bytes().add(setup()).add(part()).add(page(0, 'a', "pc.ram")).add(eos()).add(footer(kRamId));
  EXPECT_FALSE(expect_opaque(setup(), command(99), "unknown command").opaque_needs_pages);
  EXPECT_TRUE(expect_opaque(pages, command(99), "unknown command").opaque_needs_pages);
  EXPECT_TRUE(
      expect_opaque(pages, section(kSectionStart, 7, "new", 1), "unknown section new").opaque_needs_pages);
  EXPECT_FALSE(expect_opaque(pages, section(kSectionFull, 7, "timer", 1), "device state").opaque_needs_pages);
}

TEST(MainReader, NamesTheBlockOfAPageThatQemuEncoded) {
  const Bytes before = Bytes().add(setup()).add(part()).add(page(0, 'a', "pc.ram"));
  const Bytes delta = Bytes().u8(1).u16(3).fill(3, 'x');
  for (uint64_t flag : {kRamXbzrle, kRamCompress}) {
    const ByteVector stream = Bytes().add(before).u64(kPage | flag | kRamContinue).add(delta);
    const Recorder seen = read(stream);
    EXPECT_EQ(seen.opaque_because, flag == kRamXbzrle ? "xbzrle" : "compress");
    EXPECT_FALSE(seen.opaque_needs_pages);
    EXPECT_EQ(seen.relayed, Bytes().add(before).u64(kPage | flag).text("pc.ram").add(delta).get());
  }
  const Bytes named = Bytes().u64(kPage | kRamXbzrle).text("pc.ram").add(delta);
  expect_opaque(before, named, "xbzrle");
}

class MainCaptures : public testing::TestWithParam<std::string> {};

TEST_P(MainCaptures, ComeOutAsTheyWere) {
  const Capture capture(GetParam());
  const auto& made = capture.made;
  const ByteVector& stream = capture.connections[0].forward;
  const bool xbzrle = test::uses(made, "xbzrle"), postcopy = test::uses(made, "postcopy-ram");
  for (size_t chunk : test::kChunks) {
    Recorder seen(make_main_writer);
    MainReader reader(seen);
    EXPECT_TRUE(test::feed(reader, stream, chunk, 7).empty());
    EXPECT_EQ(seen.accounted, stream.size());
    EXPECT_EQ(seen.return_path, made["return_path"].get<bool>());
    EXPECT_EQ(seen.postcopy, postcopy);
    EXPECT_TRUE(seen.expects_setup_end);
    EXPECT_TRUE(std::any_of(seen.known.blocks.begin(), seen.known.blocks.end(), [&](const auto& block) {
      return block.name == "pc.ram" && block.length == made["ram_bytes"].get<uint64_t>();
    }));
    if (xbzrle) {
      EXPECT_EQ(seen.opaque_because, "xbzrle");
      EXPECT_EQ(seen.replacements, 2);  // the footer of the setup, and the block's name
      EXPECT_EQ(seen.relayed.size(), stream.size() + 1 + std::strlen("pc.ram"));
      EXPECT_TRUE(std::equal(stream.begin(), stream.begin() + static_cast<ptrdiff_t>(seen.opaque_at),
                             seen.relayed.begin()));
      EXPECT_TRUE(std::equal(stream.begin() + static_cast<ptrdiff_t>(seen.opaque_at) + 8, stream.end(),
                             seen.relayed.begin() + static_cast<ptrdiff_t>(seen.opaque_at) + 8 + 7));
      continue;
    }
    EXPECT_EQ(seen.replacements, 1);
    EXPECT_TRUE(seen.relayed == stream);
    if (postcopy) {
      EXPECT_EQ(seen.opaque_because, "postcopy");
      continue;
    }
    EXPECT_EQ(seen.opaque_because, "device state");
    EXPECT_EQ(seen.opaque_at, seen.relayed.size() - (stream.size() - seen.opaque_at));
    EXPECT_TRUE(seen.pages_end);
    if (made["multifd"] == 0) {
      EXPECT_EQ(test::landed_ram(capture, {&seen}), made["ram_fnv1a"].get<std::string>());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, MainCaptures, testing::ValuesIn(test::captures([](const auto&) { return true; })),
                         test::case_name);

}  // namespace
}  // namespace wherry::qemu
