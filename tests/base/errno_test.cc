#include "base/errno.h"

#include <gtest/gtest.h>

#include "tests/transport/support.h"

namespace wherry {
namespace {

TEST(Reason, IsWhatTheSystemCallsIt) {
  EXPECT_EQ(reason(ECONNREFUSED), "Connection refused");
}

TEST(Reason, NamesTheLimit) {
  EXPECT_EQ(reason(EMFILE), "Too many open files (ulimit -n, LimitNOFILE)");
  EXPECT_EQ(reason(ENFILE), "Too many open files in system (sysctl fs.file-max)");
}

}  // namespace
}  // namespace wherry
