// What the tests of half a lane over a fabric share: messages that are made by hand.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "tests/transport/fabric/fabric_pair.h"
#include "tests/transport/support.h"
#include "transport/wire/frame.h"

namespace wherry::test {

// Two connections, of which a test gives one to half a lane and speaks for the other half by hand.
class FabricPeer : public testing::TestWithParam<Path> {
 protected:
  FabricPeer() : pair_(GetParam()) {}
  void SetUp() override { ASSERT_TRUE(pair_.source && pair_.destination) << pair_.error; }

  static void send(FabricConnection& from, uint8_t kind, const std::vector<uint8_t>& bytes, uint32_t tag = 0,
                   uint32_t credits = 0, std::optional<uint32_t> length = {}) {
    std::vector<uint8_t> message(16);
    message[0] = kind;
    const uint32_t rest[] = {length.value_or(static_cast<uint32_t>(bytes.size())), tag, credits};
    std::memcpy(message.data() + 4, rest, sizeof rest);
    message.insert(message.end(), bytes.begin(), bytes.end());
    EXPECT_TRUE(from.send([&](std::span<uint8_t> to) {
      std::copy(message.begin(), message.end(), to.begin());
      return message.size();
    }));
  }
  static std::vector<uint8_t> frame(FrameHeader header) {
    const HeaderBytes head = encode_header(header, {});
    return {head.begin(), head.end()};
  }
  static std::vector<uint8_t> piece(uint64_t address, uint64_t key, uint32_t length) {
    std::vector<uint8_t> bytes(24);
    std::memcpy(bytes.data(), &address, 8);
    std::memcpy(bytes.data() + 8, &key, 8);
    std::memcpy(bytes.data() + 16, &length, 4);
    return bytes;
  }

  Watchdog watchdog_{"a fabric peer"};
  FabricPair pair_;
};

}  // namespace wherry::test
