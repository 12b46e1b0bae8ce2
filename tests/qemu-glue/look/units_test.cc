#include "qemu-glue/look/units.h"

#include <gtest/gtest.h>

namespace wherry::look {
namespace {

TEST(Units, BytesArePowersOf1000) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1500), "1.5 kB");
  EXPECT_EQ(bytes_text(2.34e9), "2.3 GB");
  EXPECT_EQ(bytes_text(1e18), "1.0 EB");
}

TEST(Units, AnAmountHasItsUnit) {
  EXPECT_EQ(amount_text(Unit::bytes_per_second, 1.17e8), "117.0 MB/s");
  EXPECT_EQ(amount_text(Unit::milliseconds, 1.25), "1.2 ms");
  EXPECT_EQ(amount_text(Unit::milliseconds, 71.8), "72 ms");
  EXPECT_EQ(amount_text(Unit::milliseconds, 15'000), "15.0 s");
  EXPECT_EQ(amount_text(Unit::milliseconds, 900'000), "15.0 min");
  EXPECT_EQ(amount_text(Unit::milliseconds, 327'907'000), "91.1 h");
  EXPECT_EQ(amount_text(Unit::percent, 12.4), "12 %");
  EXPECT_EQ(amount_text(Unit::times, 2.583), "2.58");
}

TEST(Units, AScaleSuitsTheHighest) {
  EXPECT_EQ(scale_of(Unit::bytes_per_second, 2e8).name, "MB/s");
  EXPECT_EQ(scale_of(Unit::bytes_per_second, 2e8).one, 1e6);
  EXPECT_EQ(scale_of(Unit::milliseconds, 20'000).name, "s");
  EXPECT_EQ(scale_of(Unit::times, 5).name, "");
  EXPECT_EQ(scale_of_seconds(60).name, "s");
  EXPECT_EQ(scale_of_seconds(3600).name, "min");
  EXPECT_EQ(scale_of_seconds(1e6).one, 3600);
}

}  // namespace
}  // namespace wherry::look
