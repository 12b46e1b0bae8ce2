#include "qemu-glue/convergence/source_qemu.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/fake_qemu.h"
#include "tests/qemu-glue/convergence/kept_source.h"

namespace wherry::convergence {
namespace {

TEST(SourceQemu, NamesEachThreadOfItsVcpusOnce) {
  FakeQemu qemu;
  KeptSource source(qemu);
  EXPECT_ERROR(source.vcpu_threads(), "vCPUs' threads");
  for (const int thread : {9, 7, 9}) qemu.vcpus.push_back({{"thread-id", thread}});
  const auto threads = source.vcpu_threads();
  ASSERT_TRUE(threads) << threads.error().message;
  EXPECT_EQ(*threads, (std::vector<pid_t>{7, 9}));
}

}  // namespace
}  // namespace wherry::convergence
