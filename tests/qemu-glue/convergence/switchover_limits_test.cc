#include "qemu-glue/convergence/switchover_limits.h"

#include <gtest/gtest.h>

namespace wherry::convergence {
namespace {

using nlohmann::json;

TEST(SwitchoverLimits, AreParametersOfQemus) {
  EXPECT_EQ(to_parameters({}), json::object());
  EXPECT_EQ(to_parameters({.downtime_ms = 300, .bandwidth = {}}), json({{"downtime-limit", 300}}));
  const json both = {{"downtime-limit", 300}, {"avail-switchover-bandwidth", 0}};
  EXPECT_EQ(to_parameters({.downtime_ms = 300, .bandwidth = 0}), both);
  const SwitchoverLimits read = limits_in(both);
  EXPECT_EQ(read.downtime_ms, 300u);
  EXPECT_EQ(read.bandwidth, 0u);
}

TEST(SwitchoverLimits, WhatQemuDoesNotHaveIsEmpty) {
  for (const json& parameters :
       {json(), json(7), json{{"max-bandwidth", 7}}, json{{"downtime-limit", "300"}}}) {
    EXPECT_FALSE(limits_in(parameters).downtime_ms) << parameters;
    EXPECT_FALSE(limits_in(parameters).bandwidth) << parameters;
  }
}

}  // namespace
}  // namespace wherry::convergence
