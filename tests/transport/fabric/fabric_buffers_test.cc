// Buffers before they are registered: how the memory is cut, and which of them completions name.
#include "transport/fabric/fabric_buffers.h"

#include <gtest/gtest.h>

#include <set>

namespace wherry {
namespace {

constexpr FabricBuffers::Shape kShape{
    .send_bytes = 100, .send_count = 3, .receive_bytes = 50, .receive_count = 2};

TEST(FabricBuffers, DoNotOverlap) {
  FabricBuffers buffers(kShape);
  std::set<uint8_t*> bytes;
  const auto add = [&bytes](std::span<uint8_t> buffer) {
    for (uint8_t& byte : buffer) EXPECT_TRUE(bytes.insert(&byte).second);
  };
  while (FabricBuffers::Buffer* const buffer = buffers.take()) add(buffer->bytes);
  EXPECT_EQ(bytes.size(), 300u);
  EXPECT_EQ(buffers.receives().size(), 2u);
  for (FabricBuffers::Buffer& buffer : buffers.receives()) add(buffer.bytes);
  EXPECT_EQ(bytes.size(), 400u);
}

TEST(FabricBuffers, AreTakenAgainOnceGivenBack) {
  FabricBuffers buffers(kShape);
  std::set<FabricBuffers::Buffer*> taken;
  while (FabricBuffers::Buffer* const buffer = buffers.take()) taken.insert(buffer);
  EXPECT_EQ(taken.size(), 3u);
  FabricBuffers::Buffer* const one = *taken.begin();
  buffers.give_back(one);
  EXPECT_EQ(buffers.take(), one);
  EXPECT_EQ(buffers.take(), nullptr);
}

TEST(FabricBuffers, AreFoundByTheirContexts) {
  FabricBuffers buffers(kShape);
  while (FabricBuffers::Buffer* const buffer = buffers.take()) {
    EXPECT_EQ(buffers.sent(&buffer->context), buffer);
    EXPECT_EQ(buffers.received(&buffer->context), nullptr);
  }
  for (FabricBuffers::Buffer& buffer : buffers.receives()) {
    EXPECT_EQ(buffers.received(&buffer.context), &buffer);
    EXPECT_EQ(buffers.sent(&buffer.context), nullptr);
  }
  fi_context2 other{};
  EXPECT_EQ(buffers.sent(&other), nullptr);
  EXPECT_EQ(buffers.received(&other), nullptr);
  EXPECT_EQ(buffers.received(nullptr), nullptr);
  FabricBuffers none({});
  EXPECT_EQ(none.take(), nullptr);
  EXPECT_EQ(none.sent(&other), nullptr);
}

}  // namespace
}  // namespace wherry
