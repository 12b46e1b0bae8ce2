#include "qemu-glue/daemon/bandwidth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <future>
#include <numeric>
#include <random>

#include "base/fd.h"
#include "tests/transport/support.h"

namespace wherry::daemon {
namespace {

using testing::ElementsAre;

TEST(Bandwidth, IsDividedEqually) {
  EXPECT_THAT(divide_bandwidth(1200, {0}), ElementsAre(1200));
  EXPECT_THAT(divide_bandwidth(1200, {0, 0, 0}), ElementsAre(400, 400, 400));
  EXPECT_THAT(divide_bandwidth(1200, {5000, 0}), ElementsAre(600, 600));
  EXPECT_THAT(divide_bandwidth(1200, {}), ElementsAre());
}

TEST(Bandwidth, WhatOneCannotUseTheOthersHave) {
  EXPECT_THAT(divide_bandwidth(1200, {0, 200, 0}), ElementsAre(500, 200, 500));
  EXPECT_THAT(divide_bandwidth(1200, {600, 100, 0}), ElementsAre(550, 100, 550));
  EXPECT_THAT(divide_bandwidth(1200, {300, 200, 400}), ElementsAre(300, 200, 400));
}

TEST(Bandwidth, WithoutATotalEachHasItsOwnLimit) {
  EXPECT_THAT(divide_bandwidth(0, {0, 200}), ElementsAre(0, 200));
}

// A division is fair if whoever has less than another has all that it asked for. It is whole if nothing is
// left that anyone could use.
TEST(Bandwidth, EveryDivisionIsFairAndWhole) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 1000; ++round) {
    const uint64_t total = 100'000 + random() % 1'000'000'000;
    std::vector<uint64_t> limits(1 + random() % 20);
    for (uint64_t& limit : limits) limit = random() % 3 == 0 ? 0 : 1 + random() % (total / 2);
    const auto shares = divide_bandwidth(total, limits);
    ASSERT_EQ(shares.size(), limits.size());
    const uint64_t most = *std::max_element(shares.begin(), shares.end());
    bool all_have_what_they_asked_for = true;
    for (size_t i = 0; i < shares.size(); ++i) {
      ASSERT_GT(shares[i], 0u) << "that would be no limit";
      const bool has_all = limits[i] > 0 && shares[i] == limits[i];
      ASSERT_TRUE(limits[i] == 0 || shares[i] <= limits[i]);
      ASSERT_TRUE(has_all || shares[i] + 1 >= most) << "except for rounding";
      all_have_what_they_asked_for = all_have_what_they_asked_for && has_all;
    }
    const uint64_t sum = std::accumulate(shares.begin(), shares.end(), uint64_t{0});
    ASSERT_LE(sum, total);
    ASSERT_TRUE(all_have_what_they_asked_for || sum == total);
  }
}

TEST(Bandwidth, IsToldOverASocketUntilItsEnd) {
  test::Watchdog watchdog("a bandwidth that is told");
  std::array<int, 2> pair{-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  Fd here(pair[0]);
  const Fd there(pair[1]);
  tell_bandwidth(here.get(), 125'000'000);
  tell_bandwidth(here.get(), 0);
  EXPECT_EQ(hear_bandwidth(there.get()), 125'000'000u);
  EXPECT_EQ(hear_bandwidth(there.get()), 0u);
  here = Fd();
  EXPECT_EQ(hear_bandwidth(there.get()), std::nullopt);
  tell_bandwidth(there.get(), 1);  // to a closed socket: no error
}

TEST(Bandwidth, IsHeardInAThreadUntilTheListenerGoes) {
  test::Watchdog watchdog("a listener for bandwidth");
  const auto [here, there] = test::socket_pair();
  std::promise<uint64_t> heard;
  {
    BandwidthListener listener(there.get(), [&](uint64_t bandwidth) { heard.set_value(bandwidth); });
    ASSERT_TRUE(listener.start());
    tell_bandwidth(here.get(), 125'000'000);
    EXPECT_EQ(heard.get_future().get(), 125'000'000u);
  }
  BandwidthListener none(-1, [](uint64_t) { FAIL(); });
  EXPECT_TRUE(none.start());
}

}  // namespace
}  // namespace wherry::daemon
