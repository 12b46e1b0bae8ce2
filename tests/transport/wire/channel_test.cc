#include "transport/wire/channel.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "transport/wire/control.h"

namespace wherry {
namespace {

using nlohmann::json;

GuestBlocks some_blocks() {
  GuestBlocks blocks;
  blocks.page_size = 4096;
  blocks.blocks = {
      {"pc.ram", uint64_t{3} << 40}, {"vga.vram", 16777216}, {"/rom@etc/acpi/tables", 131072}, {"odd", 5000}};
  blocks.relay_because = "postcopy is enabled";
  blocks.page_size_named = true;
  return blocks;
}

TEST(GuestBlocks, ComeBackFromJsonAndCbor) {
  const GuestBlocks blocks = some_blocks();
  auto map = read_map(json::to_cbor(blocks.to_json()), "peer-x");
  ASSERT_TRUE(map);
  auto read = GuestBlocks::from_json(*map);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->page_size, blocks.page_size);
  EXPECT_EQ(read->relay_because, blocks.relay_because);
  EXPECT_TRUE(read->page_size_named);
  ASSERT_EQ(read->blocks.size(), blocks.blocks.size());
  for (size_t i = 0; i < blocks.blocks.size(); ++i) {
    EXPECT_EQ(read->blocks[i].name, blocks.blocks[i].name);
    EXPECT_EQ(read->blocks[i].length, blocks.blocks[i].length);
  }
}

TEST(GuestBlocks, SpaceCountsWholePages) {
  const PageSpace space = some_blocks().space();
  EXPECT_EQ(space.page_size, 4096u);
  EXPECT_EQ(space.pages_of_block, (std::vector<uint64_t>{805306368, 4096, 32, 1}));
}

TEST(GuestBlocks, TakeAnyPageSizeThatAGuestCanHave) {
  for (uint32_t bits = 0; bits < 32; ++bits) {
    json map = some_blocks().to_json();
    map["page_size"] = 1u << bits;
    if (bits >= 10 && bits <= 16) {
      EXPECT_TRUE(GuestBlocks::from_json(map)) << bits;
    } else {
      EXPECT_ERROR(GuestBlocks::from_json(map), "guest page size of " + std::to_string(1u << bits));
    }
  }
  for (uint32_t odd : {0u, 4095u, 4097u, 12288u}) {
    json map = some_blocks().to_json();
    map["page_size"] = odd;
    EXPECT_ERROR(GuestBlocks::from_json(map), "guest page size of " + std::to_string(odd) + " bytes");
  }
}

TEST(GuestBlocks, HaveAPageSizeThatNobodyNamedUnlessTheySayOtherwise) {
  json map = some_blocks().to_json();
  for (const json& other : {json(false), json("true"), json(1)}) {
    map["page_size_named"] = other;
    EXPECT_FALSE(GuestBlocks::from_json(map)->page_size_named);
  }
  map.erase("page_size_named");
  EXPECT_FALSE(GuestBlocks::from_json(map)->page_size_named);
}

TEST(GuestBlocks, RefuseWhatIsMissingOrOfAnotherType) {
  for (const char* key : {"page_size", "blocks", "relay_because"}) {
    json map = some_blocks().to_json();
    map.erase(key);
    EXPECT_ERROR(GuestBlocks::from_json(map), std::string("no valid \"") + key);
    map[key] = 1.5;
    EXPECT_ERROR(GuestBlocks::from_json(map), std::string("no valid \"") + key);
  }
  for (const json& entry : {json(1), json("pc.ram"), json::array()}) {
    json map = some_blocks().to_json();
    map["blocks"].push_back(entry);
    EXPECT_ERROR(GuestBlocks::from_json(map), "no valid \"blocks\"");
  }
  for (const char* key : {"name", "length"}) {
    json map = some_blocks().to_json();
    map["blocks"][1].erase(key);
    EXPECT_ERROR(GuestBlocks::from_json(map), std::string("no valid \"") + key);
    map["blocks"][1][key] = -1;
    EXPECT_ERROR(GuestBlocks::from_json(map), std::string("no valid \"") + key);
  }
}

TEST(GuestBlocks, RefuseNamesThatQemuCannotHave) {
  json map = some_blocks().to_json();
  map["blocks"][0]["name"] = "";
  EXPECT_ERROR(GuestBlocks::from_json(map), "name of 0 bytes");
  map["blocks"][0]["name"] = std::string(256, 'x');
  EXPECT_ERROR(GuestBlocks::from_json(map), "name of 256 bytes");
  map["blocks"][0]["name"] = std::string(255, 'x');
  EXPECT_TRUE(GuestBlocks::from_json(map));
}

TEST(GuestBlocks, RefuseTooMany) {
  json map = some_blocks().to_json();
  const auto add = [&map] {
    map["blocks"].push_back({{"name", std::to_string(map["blocks"].size())}, {"length", 4096u}});
  };
  while (map["blocks"].size() < kMaxBlocks) add();
  EXPECT_TRUE(GuestBlocks::from_json(map));
  add();
  EXPECT_ERROR(GuestBlocks::from_json(map), "no valid \"blocks\"");
}

TEST(GuestBlocks, RefuseTwoOfOneName) {
  json map = some_blocks().to_json();
  map["blocks"].push_back({{"name", "pc.ram"}, {"length", 4096u}});
  EXPECT_ERROR(GuestBlocks::from_json(map), "two RAM blocks", "pc.ram");
}

// Also where the sum is small, or none, for 64 bits.
TEST(GuestBlocks, RefuseMoreMemoryThanAGuestHas) {
  const auto read = [](std::vector<uint64_t> lengths) {
    GuestBlocks blocks;
    blocks.page_size = 4096;
    for (const uint64_t length : lengths) blocks.blocks.push_back({std::to_string(length), length});
    return GuestBlocks::from_json(blocks.to_json());
  };
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  EXPECT_TRUE(read({kMaxGuestBytes}));
  EXPECT_TRUE(read({kMaxGuestBytes - 5000, 5000}));
  for (const std::vector<uint64_t>& lengths : std::vector<std::vector<uint64_t>>{
           {kMaxGuestBytes + 1}, {kMaxGuestBytes - 4999, 5000}, {kHalf, kHalf + 4096}, {~uint64_t{0}, 1}})
    EXPECT_ERROR(read(lengths), "70368744177664");
}

TEST(GuestBlocks, IgnoreUnknownKeys) {
  json map = some_blocks().to_json();
  map["of_the_future"] = {{"a", 1}};
  EXPECT_TRUE(GuestBlocks::from_json(map));
}

}  // namespace
}  // namespace wherry
