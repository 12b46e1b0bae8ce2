#include "qemu-glue/monitor/incoming.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/monitor/scripted_monitor.h"
#include "tests/transport/support.h"

namespace wherry::qemu {
namespace {

using nlohmann::json;

const json kTcp = {{"type", "inet"}, {"host", "127.0.0.1"}, {"port", "5001"}};
const json kUnix = {{"type", "unix"}, {"path", "/run/in"}};

json waiting(const json& addresses) {
  return {{"status", "setup"}, {"socket-address", addresses}};
}

TEST(Incoming, AllAddressesOfSocketsAreFound) {
  const auto all = incoming_addresses(waiting(json::array({kTcp, kUnix})));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].host, "127.0.0.1");
  EXPECT_EQ(all[0].port, 5001);
  EXPECT_EQ(all[1].path, "/run/in");
}

TEST(Incoming, WhatIsNoneIsLeftOut) {
  for (const json& answer :
       {json(), json::array(), json("setup"), json::object(), waiting(7), waiting(json::object()),
        waiting(json::array({7, json::array(), json::object()})),
        waiting(json::array({json{{"type", 7}, {"path", "/run/in"}}, json{{"type", "unix"}, {"path", 7}},
                             json{{"type", "fd"}, {"str", "3"}}})),
        waiting(json::array({json{{"type", "inet"}, {"host", "a"}, {"port", 5001}}})),
        waiting(json::array({json{{"type", "inet"}, {"host", "a"}, {"port", "70000"}}})),
        waiting(json::array({json{{"type", "inet"}, {"host", "a"}, {"port", "50x"}}})),
        waiting(json::array({json{{"type", "inet"}, {"host", "a"}, {"port", ""}}}))})
    EXPECT_TRUE(incoming_addresses(answer).empty()) << answer;
}

TEST(Incoming, AMonitorMayBeAnotherQemus) {
  test::ScriptedMonitor qemu;
  qemu.answers["query-migrate"].push_back(waiting(json::array({kTcp})));
  const Endpoint here{.path = {}, .host = "localhost", .port = 5001};
  const Endpoint elsewhere{.path = {}, .host = "127.0.0.1", .port = 5002};
  const Endpoint socket{.path = "/run/in", .host = {}, .port = 0};
  EXPECT_TRUE(check_waits_at(qemu, here));
  EXPECT_ERROR(check_waits_at(qemu, elsewhere), "127.0.0.1:5002", "--qmp");
  EXPECT_FALSE(check_waits_at(qemu, socket));
  qemu.refuses = {"query-migrate"};
  EXPECT_ERROR(check_waits_at(qemu, here), "refused");
}

}  // namespace
}  // namespace wherry::qemu
