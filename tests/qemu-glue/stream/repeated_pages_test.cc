#include "qemu-glue/stream/repeated_pages.h"

#include <gtest/gtest.h>

namespace wherry::qemu {
namespace {

using Edge = RepeatedPages::Edge;

TEST(RepeatedPages, APageAtTheEndOfOneAndTheHeadOfAnotherIsRepeated) {
  for (const auto& [first, second] : {std::pair{Edge::head, Edge::end}, std::pair{Edge::end, Edge::head}}) {
    RepeatedPages pages;
    EXPECT_FALSE(pages.repeats(3, 0, 7, first));
    EXPECT_TRUE(pages.repeats(3, 0, 7, second));
  }
}

TEST(RepeatedPages, OtherPagesAndEpochsAreNot) {
  RepeatedPages pages;
  EXPECT_FALSE(pages.repeats(3, 0, 7, Edge::end));
  EXPECT_FALSE(pages.repeats(4, 0, 7, Edge::head));
  EXPECT_FALSE(pages.repeats(2, 0, 7, Edge::head));
  EXPECT_FALSE(pages.repeats(3, 1, 7, Edge::head));
  EXPECT_FALSE(pages.repeats(3, 0, 8, Edge::head));
  EXPECT_TRUE(pages.repeats(3, 0, 7, Edge::head));
}

TEST(RepeatedPages, AreFoundAmongManyPackets) {
  RepeatedPages pages;
  for (uint64_t page = 0; page < 100'000; ++page) {
    EXPECT_FALSE(pages.repeats(static_cast<uint32_t>(page / 1000), 0, page, Edge::end));
    EXPECT_TRUE(pages.repeats(static_cast<uint32_t>(page / 1000), 0, page, Edge::head)) << page;
  }
}

}  // namespace
}  // namespace wherry::qemu
