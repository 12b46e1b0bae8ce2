#include "qemu-glue/steering/destination_monitor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/monitor/fake_monitor.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

const Endpoint kTcp{.path = {}, .host = "127.0.0.1", .port = 5001};
const Endpoint kUnix{.path = "/run/in", .host = {}, .port = 0};

std::optional<bool> arrived(const std::string& status, pid_t process = -1) {
  const test::FakeMonitor monitor([&](test::Peer& peer) {
    peer.negotiate();
    const auto asked = peer.hear();
    if (!asked.is_null()) peer.answer(asked, {{"status", status}});
    peer.wait_for_end();
  });
  return DestinationMonitor(monitor.path(), kTcp).has_arrived(process);
}

// The memory of a QEMU whose process is not told, and whose monitor gives these answers, one after the other.
Result<GuestRam> memory_of(const Endpoint& qemu, const std::vector<nlohmann::json>& answers) {
  const test::FakeMonitor monitor([&](test::Peer& peer) {
    peer.negotiate();
    for (const nlohmann::json& answer : answers) {
      const auto asked = peer.hear();
      if (asked.is_null()) return;
      peer.answer(asked, answer);
    }
    peer.wait_for_end();
  });
  return DestinationMonitor(monitor.path(), qemu).find_memory(-1);
}

TEST(DestinationMonitor, TellsWhetherTheGuestHasArrived) {
  EXPECT_EQ(arrived("completed"), true);
  EXPECT_EQ(arrived("failed"), false);
  EXPECT_EQ(arrived("none"), false) << "QEMU has closed the migration, and knows of none";
  EXPECT_EQ(arrived("active"), std::nullopt);
  EXPECT_EQ(arrived("postcopy-paused"), std::nullopt);
}

TEST(DestinationMonitor, OfAnotherProcessTellsNothing) {
  EXPECT_EQ(arrived("completed", ::getpid()), true);
  EXPECT_EQ(arrived("completed", ::getpid() + 1), std::nullopt);
}

TEST(DestinationMonitor, IsOfTheQemuThatWaitsThereAlsoWhereTheProcessIsNotTold) {
  const auto waits = [](const char* port) {
    const nlohmann::json address = {{"type", "inet"}, {"host", "127.0.0.1"}, {"port", port}};
    return nlohmann::json{{"status", "setup"}, {"socket-address", nlohmann::json::array({address})}};
  };
  EXPECT_ERROR(memory_of(kTcp, {waits("5002")}), "127.0.0.1:5001", "--qmp");
  EXPECT_ERROR(memory_of(kTcp, {nlohmann::json::array()}), "127.0.0.1:5001", "--qmp");
  EXPECT_ERROR(DestinationMonitor("/nowhere", kUnix).find_memory(-1), "/run/in");
  const nlohmann::json running = {{"status", "running"}};
  EXPECT_ERROR(memory_of(kTcp, {waits("5001"), running}), "running", "--qmp");
}

TEST(DestinationMonitor, ThatAnswersWithSomethingElseIsAnError) {
  const nlohmann::json address = {{"type", "inet"}, {"host", "127.0.0.1"}, {"port", "5001"}};
  const nlohmann::json waits = {{"socket-address", nlohmann::json::array({address})}};
  for (const nlohmann::json& answer :
       {nlohmann::json::array(), nlohmann::json("inmigrate"), nlohmann::json(7)})
    EXPECT_ERROR(memory_of(kTcp, {waits, answer}), "query-status");
}

TEST(DestinationMonitor, ThatIsNotThereTellsNothing) {
  const test::TempDir directory;
  const DestinationMonitor monitor(directory.at("nobody"), kUnix);
  EXPECT_EQ(monitor.has_arrived(::getpid()), std::nullopt);
  EXPECT_ERROR(monitor.find_memory(::getpid()), "nobody");
}

TEST(DestinationMonitor, WithoutOneAQemuMayHaveItsOwn) {
  // This process has no -qmp.
  EXPECT_ERROR(DestinationMonitor("", kUnix).find_memory(::getpid()), "--qmp");
}

}  // namespace
}  // namespace wherry
