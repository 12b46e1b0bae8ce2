// Connections over a fabric: writes that must fail, and calls that must be refused.
#include "transport/fabric/fabric_connection.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/fabric/fabric_pair.h"
#include "tests/transport/fabric/fabric_peer.h"
#include "transport/lane/slots.h"

namespace wherry {
namespace {

class FabricConnectionPeer : public test::FabricPeer {};

// A destination that names the source's own memory as if it were a target.
TEST_P(FabricConnectionPeer, AWriteToASourceFails) {
  SlotPool here(1);
  SlotPool there(1);
  pair_.source->domain().add_own(here.memory(), kSlotBytes);
  pair_.destination->domain().add_own(there.memory(), kSlotBytes);
  auto reach = pair_.source->domain().own(here.memory().first(4096));
  ASSERT_TRUE(reach);
  std::fill(here.memory().begin(), here.memory().begin() + 4096, uint8_t{1});
  const std::span<const uint8_t> page = there.memory().first(4096);
  ASSERT_TRUE(pair_.destination->write({&page, 1}, {reach->address, reach->key}, 3));
  std::thread looking([&] {
    while (pair_.source->next(std::chrono::milliseconds(20))) {
    }
  });
  while (!pair_.destination->idle() && pair_.destination->next(std::chrono::milliseconds(20))) {
  }
  EXPECT_TRUE(pair_.destination->ended());
  pair_.source->shut();
  looking.join();
  EXPECT_EQ(here.memory()[0], 1);
}

INSTANTIATE_TEST_SUITE_P(Over, FabricConnectionPeer, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

TEST(FabricCall, WithAnotherKeyIsRefused) {
  test::Watchdog watchdog("a refused call");
  const std::array<uint8_t, 16> wrong{9};
  const test::FabricPair pair(test::fabric_paths().front(), wrong);
  EXPECT_FALSE(pair.source);
  EXPECT_FALSE(pair.destination);
  EXPECT_ERROR(pair.error, "refused");
}

}  // namespace
}  // namespace wherry
