#include "qemu-glue/convergence/vcpu_time.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

namespace wherry::convergence {
namespace {

// A thread that runs while it may.
class Runner {
 public:
  Runner()
      : thread_([this] {
          id_ = ::gettid();
          while (!ended_) {
            if (!runs_) runs_.wait(false);
          }
        }) {
    while (id_ == 0) std::this_thread::yield();
  }
  ~Runner() { end(); }
  void run(bool runs) {
    runs_ = runs;
    runs_.notify_all();
  }
  void end() {
    if (!thread_.joinable()) return;
    ended_ = true;
    run(true);
    thread_.join();
  }
  pid_t id() const { return id_; }

 private:
  std::atomic<pid_t> id_ = 0;
  std::atomic<bool> runs_ = false;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

TEST(VcpuTime, GrowsWhileAThreadRuns) {
  Runner runner;
  auto time = VcpuTime::of(::getpid(), {runner.id()});
  ASSERT_TRUE(time);
  const double before = time->ran().all;
  runner.run(true);
  while (time->ran().all < before + 0.05) std::this_thread::yield();
  runner.end();
  EXPECT_GE(time->ran().all, before + 0.05) << "of a thread that has ended";
}

TEST(VcpuTime, IsThatOfAllVcpus) {
  std::array<Runner, 2> runners;
  auto both = VcpuTime::of(::getpid(), {runners[0].id(), runners[1].id()});
  auto second = VcpuTime::of(::getpid(), {runners[1].id()});
  ASSERT_TRUE(both && second);
  runners[0].run(true);
  while (both->ran().all < second->ran().all + 0.05) std::this_thread::yield();
  EXPECT_LT(second->ran().all, 0.05) << "it has not run";
  EXPECT_GE(both->ran().busiest, 0.045) << "the other's beginning counts among all";
  EXPECT_LT(second->ran().busiest, 0.05);
}

TEST(VcpuTime, ThreadsThatAreNotThereHaveNone) {
  EXPECT_FALSE(VcpuTime::of(::getpid(), {}));
  EXPECT_FALSE(VcpuTime::of(::getpid(), {-1}));
  EXPECT_FALSE(VcpuTime::of(-1, {::gettid()}));
}

}  // namespace
}  // namespace wherry::convergence
