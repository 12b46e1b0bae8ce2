#include "base/reserve.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

TEST(Reserve, MakesRoom) {
  Reserve reserve;
  ASSERT_TRUE(reserve.keep(2));
  const test::FewDescriptors none(0);
  EXPECT_NE(Event().error(), 0);
  reserve.release();
  const Event first;
  const Event second;
  EXPECT_EQ(first.error(), 0);
  EXPECT_EQ(second.error(), 0);
  EXPECT_NE(Event().error(), 0);
}

TEST(Reserve, IsAnErrorWhereThereIsNone) {
  Reserve reserve;
  const test::FewDescriptors one(1);
  EXPECT_ERROR(reserve.keep(2), "Too many open files");
}

}  // namespace
}  // namespace wherry
