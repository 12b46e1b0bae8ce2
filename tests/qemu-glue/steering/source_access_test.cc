#include "qemu-glue/steering/source_access.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/qemu-glue/monitor/fake_monitor.h"

namespace wherry {
namespace {

TEST(QmpAccess, WaitsForEventsAndTakesAllThatAreThere) {
  test::FakeMonitor monitor([](test::Peer& peer) {
    peer.negotiate();
    const auto command = peer.hear();
    peer.say("{\"event\": \"STOP\"}\n{\"event\": \"MIGRATION\"}\n");
    peer.answer(command, nlohmann::json::object());
    peer.wait_for_end();
  });
  auto qmp = Qmp::connect(monitor.path(), test::kLong);
  ASSERT_TRUE(qmp) << qmp.error().message;
  QmpAccess access(std::move(*qmp));
  EXPECT_EQ(access.process(), ::getpid());
  EXPECT_FALSE(access.wait_event({}));
  ASSERT_TRUE(access.qemu().figures(test::kLong));
  EXPECT_TRUE(access.wait_event(test::kLong));
  EXPECT_FALSE(access.wait_event({}));
}

}  // namespace
}  // namespace wherry
