#include "transport/flow/encoding_time.h"

#include <gtest/gtest.h>

#include <thread>

namespace wherry {
namespace {

using namespace std::chrono_literals;

TEST(EncodingTime, AThreadThatSleepsDoesNotEncode) {
  const EncodingTime time;
  std::this_thread::sleep_for(200ms);
  EXPECT_LT(time.elapsed(), 200ms);
}

TEST(EncodingTime, AThreadThatWorksTakesItsTime) {
  const EncodingTime time;
  const std::clock_t start = std::clock();
  while (std::clock() - start < CLOCKS_PER_SEC / 20) {
  }
  EXPECT_GE(time.elapsed(), 49ms);
}

}  // namespace
}  // namespace wherry
