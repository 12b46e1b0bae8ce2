// Compares the code with docs/wire-format.md, whose tables and examples it reads from the page.
#include <gtest/gtest.h>
#include <xxhash.h>

#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "compression/line_delta.h"
#include "compression/page_patch.h"
#include "compression/page_reference.h"
#include "tests/compression/sample_secret.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"
#include "tests/transport/wire/wire_page.h"
#include "transport/flow/epoch_gate.h"
#include "transport/socket/socket.h"
#include "transport/source/source_session.h"
#include "transport/wire/channel.h"
#include "transport/wire/frame.h"

namespace wherry {
namespace {

using test::expect_layout;
using test::kSampleSecret;
using test::number;
using test::page;
using test::Row;

std::set<std::string> keys(const nlohmann::json& map) {
  std::set<std::string> all;
  for (const auto& [key, value] : map.items()) all.insert(key);
  return all;
}

// The keys on the page and their types are those of a message that the code makes.
void expect_map(const std::string& label, const nlohmann::json& map) {
  std::set<std::string> on_page;
  for (const Row& row : page().table(label, "key")) {
    on_page.insert(row[0]);
    if (!map.contains(row[0])) continue;
    const nlohmann::json& value = map[row[0]];
    const bool right = row[1] == "unsigned"  ? value.is_number_unsigned()
                       : row[1] == "text"    ? value.is_string()
                       : row[1] == "array"   ? value.is_array()
                       : row[1] == "map"     ? value.is_object()
                       : row[1] == "boolean" ? value.is_boolean()
                                             : false;
    EXPECT_TRUE(right) << label << " " << row[0] << " is not of type " << row[1];
  }
  EXPECT_EQ(on_page, keys(map)) << label;
}

TEST(WireFormat, TheHeaderIsAsOnThePage) {
  const FrameHeader header{.type = FrameType::batch,
                           .flags = 0x1112,
                           .channel = 0x2122,
                           .epoch = 0x31323334,
                           .sequence = 0x4142434445464748,
                           .pages = 0x51525354,
                           .table_length = 0x61,
                           .body_length = 0x71,
                           .aux = 0x81828384,
                           .pack_length = 0x63,
                           .plain_length = 0x73,
                           .body_sum = 0x9192939495969798};
  const HeaderBytes bytes = encode_header(header, {});
  const std::map<std::string, uint64_t> values = {{"magic", 0x59524857},
                                                  {"version", 2},
                                                  {"type", 3},
                                                  {"flags", header.flags},
                                                  {"channel", header.channel},
                                                  {"reserved", 0},
                                                  {"epoch", header.epoch},
                                                  {"sequence", header.sequence},
                                                  {"pages", header.pages},
                                                  {"table_length", header.table_length},
                                                  {"body_length", header.body_length},
                                                  {"aux", header.aux},
                                                  {"pack_length", header.pack_length},
                                                  {"plain_length", header.plain_length},
                                                  {"head_sum", number(bytes, 48, 8)},
                                                  {"body_sum", header.body_sum}};
  expect_layout(page().table("Frame header", "offset"), bytes, values);
}

TEST(WireFormat, TheHeadSumIsOfWhatThePageSays) {
  const std::vector<uint8_t> table(32, 7);
  const HeaderBytes bytes = encode_header({.type = FrameType::batch, .body_sum = 99}, table);
  Checksum sum;
  sum.add(std::span(bytes).first(48));
  sum.add(std::span(bytes).subspan(56));
  sum.add(table);
  EXPECT_EQ(number(bytes, 48, 8), sum.value());
}

TEST(WireFormat, ExactlyTheTypesOnThePageAreKnown) {
  const std::map<std::string, FrameType> ours = {{"open", FrameType::open},
                                                 {"record", FrameType::record},
                                                 {"batch", FrameType::batch},
                                                 {"close", FrameType::close},
                                                 {"blocks", FrameType::blocks},
                                                 {"hello", FrameType::hello},
                                                 {"welcome", FrameType::welcome},
                                                 {"refuse", FrameType::refuse},
                                                 {"lane_hello", FrameType::lane_hello},
                                                 {"lane_path", FrameType::lane_path},
                                                 {"last_word", FrameType::last_word},
                                                 {"service", FrameType::service},
                                                 {"ack", FrameType::ack},
                                                 {"reverse", FrameType::reverse},
                                                 {"reverse_close", FrameType::reverse_close},
                                                 {"failed", FrameType::failed},
                                                 {"done", FrameType::done},
                                                 {"bases", FrameType::bases},
                                                 {"again", FrameType::again},
                                                 {"lane_lost", FrameType::lane_lost},
                                                 {"lane_ended", FrameType::lane_ended},
                                                 {"may_be_there", FrameType::may_be_there}};
  std::map<std::string, FrameType> on_page;
  std::set<int> numbers;
  for (const Row& row : page().table("Frame types", "type")) {
    on_page[row[1]] = static_cast<FrameType>(std::stoi(row[0]));
    numbers.insert(std::stoi(row[0]));
  }
  EXPECT_EQ(on_page, ours);
  HeaderBytes bytes = encode_header({.type = FrameType::open}, {});
  for (int type = 0; type < 256; ++type) {
    bytes[5] = static_cast<uint8_t>(type);
    EXPECT_EQ(decode_header(bytes).has_value(), numbers.contains(type)) << type;
  }
}

TEST(WireFormat, FlagsAndKindsAreThoseOnThePage) {
  const std::map<std::string, int> flags = {{"epoch_end", kEpochEnd},     {"setup_done", kSetupDone},
                                            {"opaque", kOpaque},          {"pages_done", kPagesDone},
                                            {"needs_pages", kNeedsPages}, {"asks_how", kAsksHow}};
  std::map<std::string, int> on_page;
  for (const Row& row : page().table("Flags of a record", "flag")) on_page[row[1]] = std::stoi(row[0]);
  EXPECT_EQ(on_page, flags);
  on_page.clear();
  for (const Row& row : page().table("Flags of a batch", "flag")) on_page[row[1]] = std::stoi(row[0]);
  EXPECT_EQ(on_page, (std::map<std::string, int>{{"sums", kSums}}));
  const std::map<std::string, int> kinds = {{"main", static_cast<int>(ChannelKind::main)},
                                            {"data", static_cast<int>(ChannelKind::data)},
                                            {"urgent", static_cast<int>(ChannelKind::urgent)},
                                            {"disk", static_cast<int>(ChannelKind::disk)}};
  on_page.clear();
  for (const Row& row : page().table("Kinds", "kind")) on_page[row[1]] = std::stoi(row[0]);
  EXPECT_EQ(on_page, kinds);
}

TEST(WireFormat, ThePageTableIsAsOnThePage) {
  const PageRun run{0x1112, PageKind::lines, 0x21222324, 0x3132333435363738};
  std::vector<uint8_t> table;
  put_table({&run, 1}, table);
  expect_layout(page().table("Page table", "offset"), table,
                {{"block", 0x1112},
                 {"kind", 3},
                 {"reserved", 0},
                 {"count", 0x21222324},
                 {"first", 0x3132333435363738}});
}

TEST(WireFormat, ExactlyThePageKindsOnThePageAreKnown) {
  std::set<int> numbers;
  for (const Row& row : page().table("Page table", "kind")) numbers.insert(std::stoi(row[0]));
  EXPECT_EQ(numbers, (std::set<int>{static_cast<int>(PageKind::zero), static_cast<int>(PageKind::raw),
                                    static_cast<int>(PageKind::packed), static_cast<int>(PageKind::lines),
                                    static_cast<int>(PageKind::patch), static_cast<int>(PageKind::same),
                                    static_cast<int>(PageKind::keep), static_cast<int>(PageKind::kept)}));
  for (int kind = 0; kind < 256; ++kind) {
    std::vector<uint8_t> entry(kRunBytes);
    entry[2] = static_cast<uint8_t>(kind);
    entry[4] = 1;
    EXPECT_EQ(read_table(entry, {4096, {1}}).has_value(), numbers.contains(kind)) << kind;
  }
}

// Line 2 of the page is the text, all else is zero.
std::vector<uint8_t> page_of_lines(std::vector<uint8_t>& content) {
  const std::string line = "the wherry sails";
  content.assign(kPageLines * line.size(), 0);
  std::copy(line.begin(), line.end(), content.begin() + 2 * static_cast<ptrdiff_t>(line.size()));
  const auto page_size = static_cast<uint32_t>(content.size());
  std::vector<uint8_t> encoded(lines_size(1 << 2, page_size));
  put_lines(content.data(), page_size, 1 << 2, kSampleSecret, encoded.data());
  return encoded;
}

uint64_t hash_with(std::span<const uint8_t> secret, const std::vector<uint8_t>& content) {
  return XXH3_64bits_withSecret(content.data(), content.size(), secret.data(), secret.size());
}

TEST(WireFormat, PagesOfLinesAreAsOnThePage) {
  std::vector<uint8_t> content;
  const std::vector<uint8_t> encoded = page_of_lines(content);
  expect_layout(page().table("Lines:", "offset"), std::span(encoded).first(16),
                {{"bitmap", 1 << 2}, {"sum", hash_with(std::span(kSampleSecret).first(192), content)}});
  EXPECT_EQ(test::text_of(std::span(encoded).subspan(16)), "the wherry sails");
}

TEST(WireFormat, PatchesAreAsOnThePage) {
  const std::vector<uint8_t> base(1024, 0);
  std::vector<uint8_t> content = base;
  for (size_t i = 0; i < 5; ++i) content[0x123 + i] = static_cast<uint8_t>("wharf"[i]);
  std::vector<uint8_t> patch(100);
  patch.resize(make_patch(base.data(), content.data(), 1024, patch));
  ASSERT_EQ(patch.size(), 10u);
  EXPECT_EQ(number(patch, 0, 2), 8u);
  expect_layout(page().table("Patch:", "offset"), std::span(patch).subspan(2, 3),
                {{"skip", 0x123}, {"count", 4}});
  EXPECT_EQ(test::text_of(std::span(patch).subspan(5)), "wharf");
}

TEST(WireFormat, ReferencesAreAsOnThePage) {
  std::vector<uint8_t> encoded(kReferenceBytes);
  put_reference({0x1112, 0x212223242526, {0x3132333435363738, 0x4142434445464748}}, encoded.data());
  expect_layout(page().table("Same:", "offset"), encoded,
                {{"block", 0x1112},
                 {"page", 0x212223242526},
                 {"sum_low", 0x3132333435363738},
                 {"sum_high", 0x4142434445464748}});
  const std::vector<uint8_t> content(4096, 7);
  const std::span<const uint8_t> secret = kSampleSecret;
  EXPECT_EQ(hash_content(content.data(), 4096, kSampleSecret),
            (ContentHash{hash_with(secret.first(192), content), hash_with(secret.last(192), content)}));
}

TEST(WireFormat, LimitsAreThoseOnThePage) {
  const std::map<std::string, uint64_t> ours = {
      {"bytes of a table", kMaxTable},
      {"bytes of a body", kMaxBody},
      {"entries of a page table", kBatchRuns},
      {"pages of a batch", kBatchPages},
      {"page bytes of a batch", kBatchBytes},
      {"plain bytes of a batch", kMostPlain},
      {"plain bytes of any other frame", kMaxBody},
      {"channels", kMaxChannels},
      {"blocks", kMaxBlocks},
      {"bytes of all blocks", kMaxGuestBytes},
      {"epochs that a channel is ahead of another", EpochGate::kMostAhead}};
  std::map<std::string, uint64_t> on_page;
  for (const Row& row : page().table("Limits", "limit")) on_page[row[0]] = std::stoull(row[1]);
  EXPECT_EQ(on_page, ours);
}

TEST(WireFormat, MessagesHaveTheKeysOnThePage) {
  test::Watchdog watchdog("a handshake");
  test::RawDestination raw;
  std::thread welcoming([&] { raw.welcome(); });
  Failure failure;
  auto source = SourceSession::connect({.peers = {raw.where()}, .lanes = 1}, {}, failure);
  welcoming.join();
  ASSERT_TRUE(source) << source.error().message;
  expect_map("hello", raw.hello);
  expect_map("lane_hello", raw.lane_hellos.at(0));
  expect_map("service",
             {{"service", "libvirt"}, {"route", "hostb/1"}, {"padding", "as peer_test.cc checks"}});
  expect_map("last_word", {{"token", "as last_word_test.cc checks"}, {"route", ""}, {"heard", 0u}});
  expect_map("welcome", {{"token", "as destination_session_test.cc checks"}});
  expect_map("bases", {{"blocks", {"as destination_session_test.cc checks"}}, {"copies", 0u}});
  GuestBlocks blocks;
  blocks.page_size = 4096;
  blocks.blocks = {{"pc.ram", 4096}};
  const nlohmann::json map = blocks.to_json();
  expect_map("blocks", map);
  expect_map("block", map["blocks"][0]);
}

TEST(WireFormat, TheExamplesAreWhatTheCodeSends) {
  auto sent = [](FrameHeader header, const std::vector<uint8_t>& table, const std::string& body) {
    auto [a, b] = test::socket_pair();
    FrameSocket socket(std::move(a), "");
    const std::vector<uint8_t> bytes = test::bytes_of(body);
    const std::span<const uint8_t> part = bytes;
    EXPECT_TRUE(socket.send(header, table, {&part, 1}));
    std::vector<uint8_t> wire(kFrameHeaderBytes + table.size() + body.size());
    EXPECT_TRUE(recv_all(b.get(), wire));
    return wire;
  };
  EXPECT_EQ(sent({.type = FrameType::ack, .channel = 3, .sequence = 517}, {}, ""), page().example("ack"));
  EXPECT_EQ(sent({.type = FrameType::record, .flags = kEpochEnd, .sequence = 4, .aux = 3}, {}, "wharf"),
            page().example("record"));
  const PageRun zeros{0, PageKind::zero, 3, 256};
  std::vector<uint8_t> table;
  put_table({&zeros, 1}, table);
  EXPECT_EQ(sent({.type = FrameType::batch, .channel = 1, .epoch = 2, .sequence = 7, .pages = 3}, table, ""),
            page().example("batch"));
  std::vector<uint8_t> content;
  const std::vector<uint8_t> pack = page_of_lines(content);
  const PageRun lines{1, PageKind::lines, 1, 5};
  put_table({&lines, 1}, table);
  EXPECT_EQ(sent({.type = FrameType::batch,
                  .channel = 2,
                  .epoch = 3,
                  .sequence = 9,
                  .pages = 1,
                  .pack_length = static_cast<uint32_t>(pack.size()),
                  .plain_length = static_cast<uint32_t>(pack.size())},
                 table, test::text_of(pack)),
            page().example("lines"));
}

}  // namespace
}  // namespace wherry
