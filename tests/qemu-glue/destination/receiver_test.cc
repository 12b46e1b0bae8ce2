// A Receiver whose source is made by hand. Whole migrations: tests/qemu-glue/ownership_test.cc.
#include "qemu-glue/destination/receiver.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/wherry_pair.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"

namespace wherry {
namespace {

TEST(Receiver, RefusesAGuestThatIsLargerThanItsQemu) {
  const test::Watchdog watchdog("a receiver");
  const test::TempDir directory;
  const Endpoint at{.path = directory.at("qemu"), .host = {}};
  auto waits = Listener::open(at);
  ASSERT_TRUE(waits) << waits.error().message;
  Failure failure;
  Receiver receiver({.listen = qemu::test::pair_uri(0, qemu::test::Place::direct),
                     .qemu = at,
                     .memory = qemu::test::open_scripted_ram},
                    failure);
  ASSERT_TRUE(receiver.open());
  std::thread running([&] { EXPECT_FALSE(receiver.run()); });
  {
    test::RawSource source(receiver.listener().where(), 1);
    EXPECT_TRUE(source.lanes[0].send({.type = FrameType::open}));
    EXPECT_TRUE(source.lanes[0].send({.type = FrameType::record, .sequence = 1}, test::bytes_of("QEVM")));
    GuestBlocks blocks;
    blocks.page_size = 4096;
    blocks.blocks = {{"pc.ram", (qemu::test::kScriptedPages + 1) * 4096}};
    EXPECT_TRUE(source.control.send({.type = FrameType::blocks, .sequence = 2},
                                    nlohmann::json::to_cbor(blocks.to_json())));
    auto told = source.control.receive(FrameType::failed);
    EXPECT_ERROR(told ? told->text() : told.error().message, "pc.ram", "65536", "69632");
  }
  running.join();
}

}  // namespace
}  // namespace wherry
