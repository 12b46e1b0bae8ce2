#include "qemu-glue/steering/destination_monitor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/monitor/fake_monitor.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

std::optional<bool> arrived(const std::string& status) {
  const test::FakeMonitor monitor([&](test::Peer& peer) {
    peer.negotiate();
    peer.answer(peer.hear(), {{"status", status}});
    peer.wait_for_end();
  });
  return DestinationMonitor(monitor.path()).has_arrived(-1);
}

TEST(DestinationMonitor, TellsWhetherTheGuestHasArrived) {
  EXPECT_EQ(arrived("completed"), true);
  EXPECT_EQ(arrived("failed"), false);
  EXPECT_EQ(arrived("none"), false) << "QEMU has closed the migration, and knows of none";
  EXPECT_EQ(arrived("active"), std::nullopt);
  EXPECT_EQ(arrived("postcopy-paused"), std::nullopt);
}

TEST(DestinationMonitor, ThatIsNotThereTellsNothing) {
  const test::TempDir directory;
  const DestinationMonitor monitor(directory.at("nobody"));
  EXPECT_EQ(monitor.has_arrived(::getpid()), std::nullopt);
  EXPECT_ERROR(monitor.find_memory(::getpid()), "nobody");
}

TEST(DestinationMonitor, WithoutOneAQemuMayHaveItsOwn) {
  // This process has no -qmp.
  EXPECT_ERROR(DestinationMonitor("").find_memory(::getpid()), "--qmp");
}

}  // namespace
}  // namespace wherry
