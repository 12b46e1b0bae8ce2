// With this machine's control groups, for which it takes root.
#include "qemu-glue/convergence/vcpu_quota.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "tests/qemu-glue/convergence/alone.h"
#include "tests/qemu-glue/convergence/idler.h"
#include "tests/transport/support.h"

namespace wherry::convergence {
namespace {

// Those of a process.
std::string groups(const Idler& idler) {
  std::ifstream file("/proc/" + std::to_string(idler.pid()) + "/cgroup");
  return {std::istreambuf_iterator<char>(file), {}};
}

class VcpuQuotaTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  }

  const Alone alone_;
};

TEST_F(VcpuQuotaTest, AThreadHasAGroupOfItsOwnUntilTheEnd) {
  const Idler idler;
  const std::string before = groups(idler);
  {
    auto quota = VcpuQuota::take(idler.pid(), {idler.pid()});
    ASSERT_TRUE(quota) << quota.error().message;
    EXPECT_NE(groups(idler), before);
    EXPECT_NE(groups(idler).find("wherry-throttle-"), std::string::npos);
    for (const double part : {0.2, 0.99, 0.5, 0.0}) {
      auto set = (*quota)->throttle(part);
      EXPECT_TRUE(set) << set.error().message;
    }
    EXPECT_TRUE(VcpuQuota::abandoned().empty()) << "its owner lives";
  }
  EXPECT_EQ(groups(idler), before);
}

TEST_F(VcpuQuotaTest, TheWayBackNeedsNoMoreDescriptors) {
  const Idler idler;
  const std::string before = groups(idler);
  {
    auto quota = VcpuQuota::take(idler.pid(), {idler.pid()});
    ASSERT_TRUE(quota) << quota.error().message;
    ASSERT_TRUE((*quota)->throttle(0.9));
    const test::FewDescriptors none(0);
    quota->reset();
  }
  EXPECT_EQ(groups(idler), before);
}

TEST_F(VcpuQuotaTest, WhatADeadOwnerLeftIsFoundAndTakenAway) {
  const Idler idler;
  const std::string before = groups(idler);
  const pid_t owner = ::fork();
  if (owner == 0) {
    auto quota = VcpuQuota::take(idler.pid(), {idler.pid()});
    const bool throttled = quota && (*quota)->throttle(0.9);
    ::_exit(throttled ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(owner, &status, 0), owner);
  ASSERT_EQ(status, 0);
  EXPECT_NE(groups(idler), before);
  EXPECT_EQ(VcpuQuota::abandoned().size(), 1u);
  VcpuQuota::release_abandoned();
  EXPECT_TRUE(VcpuQuota::abandoned().empty());
  EXPECT_EQ(groups(idler), before);
}

// Version 1 refuses a quota below that is larger than the one above it; version 2 keeps to the smaller.
TEST_F(VcpuQuotaTest, AThreadThatHasAQuotaKeepsItsPartOfThat) {
  const Idler idler;
  auto outer = VcpuQuota::take(idler.pid(), {idler.pid()});
  ASSERT_TRUE(outer) << outer.error().message;
  ASSERT_TRUE((*outer)->throttle(0.8));
  const pid_t inner = ::fork();  // whose groups have other names
  if (inner == 0) {
    auto quota = VcpuQuota::take(idler.pid(), {idler.pid()});
    for (const double part : {0.2, 0.5, 0.99, 0.0}) {
      if (!quota || !(*quota)->throttle(part)) ::_exit(1);
    }
    quota->reset();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(inner, &status, 0), inner);
  EXPECT_EQ(status, 0);
}

TEST_F(VcpuQuotaTest, AProcessThatIsGoneIsAnError) {
  const pid_t gone = 0x3fffff;
  EXPECT_FALSE(VcpuQuota::take(gone, {gone}));
}

}  // namespace
}  // namespace wherry::convergence
