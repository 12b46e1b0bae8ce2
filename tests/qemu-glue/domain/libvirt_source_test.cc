// What needs no libvirt; tests/e2e/test_libvirt.py has the rest.
#include "qemu-glue/domain/libvirt_source.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <future>
#include <thread>

namespace wherry::domain {
namespace {

using nlohmann::json;

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

TEST(LibvirtSource, AnswersWithTheFiguresOfTheJob) {
  const json expected = {{"status", "active"},
                         {"ram",
                          {{"remaining", 5918720},
                           {"dirty-sync-count", 16},
                           {"dirty-pages-rate", 1029},
                           {"page-size", 4096},
                           {"mbps", 32.0}}}};
  const TypedParams migrating = figures(VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
  EXPECT_EQ(as_query_migrate(VIR_DOMAIN_JOB_UNBOUNDED, migrating, true), expected);
  EXPECT_EQ(as_query_migrate(VIR_DOMAIN_JOB_UNBOUNDED, migrating, false)["status"], "device");
}

TEST(LibvirtSource, KnowsHowItEnded) {
  const TypedParams ended = figures(VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
  const json completed = as_query_migrate(VIR_DOMAIN_JOB_COMPLETED, ended, false);
  EXPECT_EQ(completed["status"], "completed");
  EXPECT_EQ(completed["downtime"], 125);
  const json failed = as_query_migrate(VIR_DOMAIN_JOB_FAILED, ended, true);
  EXPECT_EQ(failed["status"], "failed");
  EXPECT_FALSE(failed.contains("downtime"));
  EXPECT_EQ(as_query_migrate(VIR_DOMAIN_JOB_CANCELLED, ended, true)["status"], "cancelled");
}

TEST(LibvirtSource, TakesNoOtherJobForAMigrationAway) {
  for (const int other : {int{VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN}, int{VIR_DOMAIN_JOB_OPERATION_SAVE}}) {
    const json none = {{"status", "none"}};
    EXPECT_EQ(as_query_migrate(VIR_DOMAIN_JOB_UNBOUNDED, figures(other), true), none);
  }
  EXPECT_EQ(as_query_migrate(VIR_DOMAIN_JOB_COMPLETED, TypedParams(), false)["status"], "none");
}

TEST(LibvirtSource, KnowsTheThreadsOfVcpusByTheirNames) {
  EXPECT_EQ(as_query_cpus_fast(getpid()), json::array());
  std::promise<pid_t> named;
  std::promise<void> seen;
  std::thread vcpu([&] {
    pthread_setname_np(pthread_self(), "CPU 0/KVM");
    named.set_value(gettid());
    seen.get_future().wait();
  });
  const pid_t thread = named.get_future().get();
  EXPECT_EQ(as_query_cpus_fast(getpid()), json::array({{{"thread-id", thread}}}));
  seen.set_value();
  vcpu.join();
  EXPECT_EQ(as_query_cpus_fast(-1), json::array());
}

TEST(LibvirtSource, IsOfNoOtherProcessThanAQemu) {
  auto of_this = LibvirtSource::open("test:///default", getpid());
  ASSERT_FALSE(of_this);
  EXPECT_NE(of_this.error().message.find("is not a QEMU that libvirt started"), std::string::npos);
}

}  // namespace
}  // namespace wherry::domain
