// What needs no libvirt; tests/e2e/test_libvirt.py has the rest.
#include "qemu-glue/domain/libvirt_source.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <future>
#include <thread>
#include <vector>

#include "tests/base/expect_error.h"

namespace wherry::domain {
namespace {

using qemu::MigrationFigures;
using qemu::MigrationPhase;

TypedParams figures(int operation) {
  TypedParams params;
  params.add("operation", operation);
  for (const auto& [name, value] : {std::pair<const char*, uint64_t>{"memory_remaining", 5918720},
                                    {"memory_iteration", 16},
                                    {"memory_dirty_rate", 1029},
                                    {"memory_page_size", 4096},
                                    {"memory_bps", 4'000'000},
                                    {"downtime", 125}})
    params.add(name, value);
  return params;
}

TEST(LibvirtSource, HasTheFiguresOfTheJob) {
  const TypedParams migrating = figures(VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
  const MigrationFigures known = figures_of_job(VIR_DOMAIN_JOB_UNBOUNDED, migrating, true);
  EXPECT_EQ(known.phase, MigrationPhase::active);
  EXPECT_EQ(known.remaining, 5918720);
  EXPECT_EQ(known.passes, 16u);
  EXPECT_EQ(known.dirty_pages, 1029);
  EXPECT_EQ(known.page_size, 4096u);
  EXPECT_EQ(known.rate, 4e6);
  EXPECT_FALSE(known.downtime_ms) << "it is not over";
  EXPECT_EQ(figures_of_job(VIR_DOMAIN_JOB_UNBOUNDED, migrating, false).phase, MigrationPhase::switches);
}

TEST(LibvirtSource, KnowsHowItEnded) {
  const TypedParams ended = figures(VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
  const MigrationFigures completed = figures_of_job(VIR_DOMAIN_JOB_COMPLETED, ended, false);
  EXPECT_EQ(completed.phase, MigrationPhase::completed);
  EXPECT_EQ(completed.downtime_ms, 125);
  const MigrationFigures failed = figures_of_job(VIR_DOMAIN_JOB_FAILED, ended, true);
  EXPECT_EQ(failed.phase, MigrationPhase::failed);
  EXPECT_FALSE(failed.downtime_ms);
  EXPECT_EQ(figures_of_job(VIR_DOMAIN_JOB_CANCELLED, ended, true).phase, MigrationPhase::cancelled);
}

TEST(LibvirtSource, TakesNoOtherJobForAMigrationAway) {
  for (const int other : {int{VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN}, int{VIR_DOMAIN_JOB_OPERATION_SAVE}}) {
    const MigrationFigures none = figures_of_job(VIR_DOMAIN_JOB_UNBOUNDED, figures(other), true);
    EXPECT_EQ(none.phase, MigrationPhase::none);
    EXPECT_EQ(none.remaining, 0);
  }
  EXPECT_EQ(figures_of_job(VIR_DOMAIN_JOB_COMPLETED, TypedParams(), false).phase, MigrationPhase::none);
}

TEST(LibvirtSource, KnowsTheThreadsOfVcpusByTheirNames) {
  EXPECT_EQ(vcpu_threads_of(getpid()), std::vector<pid_t>());
  std::promise<pid_t> named;
  std::promise<void> seen;
  std::thread vcpu([&] {
    pthread_setname_np(pthread_self(), "CPU 0/KVM");
    named.set_value(gettid());
    seen.get_future().wait();
  });
  const pid_t thread = named.get_future().get();
  EXPECT_EQ(vcpu_threads_of(getpid()), std::vector<pid_t>{thread});
  seen.set_value();
  vcpu.join();
  EXPECT_EQ(vcpu_threads_of(-1), std::vector<pid_t>());
}

TEST(LibvirtSource, IsOfNoOtherProcessThanAQemu) {
  auto of_this = LibvirtSource::open("test:///default", getpid());
  EXPECT_ERROR(of_this, "not a QEMU that libvirt started");
}

}  // namespace
}  // namespace wherry::domain
