#include "qemu-glue/monitor/downtime_limit.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

using std::chrono::milliseconds;

// A QEMU that only has parameters.
class Parameters : public Monitor {
 public:
  Result<nlohmann::json> execute(std::string_view command, nlohmann::json arguments, milliseconds) override {
    if (command == "query-migrate-parameters") return parameters;
    if (command != "migrate-set-parameters" || refuses) return fail("{}: refused", command);
    parameters.update(arguments);
    return nlohmann::json::object();
  }
  nlohmann::json parameters = {{"downtime-limit", 500}, {"max-bandwidth", 7}};
  bool refuses = false;
};

TEST(DowntimeLimit, LeavesRoomForWhatIsInFlight) {
  EXPECT_EQ(downtime_limit(milliseconds(300)), milliseconds(270));
  EXPECT_EQ(downtime_limit(milliseconds(50)), milliseconds(45));
  EXPECT_EQ(downtime_limit(milliseconds(1)), milliseconds(1)) << "QEMU takes 0 for no time at all";
}

TEST(DowntimeLimit, IsSetAndPutBack) {
  Parameters qemu;
  auto before = set_downtime_limit(qemu, milliseconds(100));
  ASSERT_TRUE(before);
  EXPECT_EQ(qemu.parameters, (nlohmann::json{{"downtime-limit", 90}, {"max-bandwidth", 7}}));
  ASSERT_TRUE(restore_downtime_limit(qemu, *before));
  EXPECT_EQ(qemu.parameters["downtime-limit"], 500);
}

TEST(DowntimeLimit, WhatQemuDoesNotTellIsNotPutBack) {
  Parameters qemu;
  qemu.parameters.erase("downtime-limit");
  auto before = set_downtime_limit(qemu, milliseconds(100));
  ASSERT_TRUE(before);
  ASSERT_TRUE(restore_downtime_limit(qemu, *before));
  EXPECT_EQ(qemu.parameters["downtime-limit"], 90);
}

TEST(DowntimeLimit, ARefusalIsAnError) {
  Parameters qemu;
  qemu.refuses = true;
  EXPECT_FALSE(set_downtime_limit(qemu, milliseconds(100)));
  EXPECT_FALSE(restore_downtime_limit(qemu, 500));
}

}  // namespace
}  // namespace wherry
