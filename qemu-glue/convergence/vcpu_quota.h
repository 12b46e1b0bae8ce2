// Slows a guest's vCPUs down: each vCPU's thread gets a control group (cgroup v1 or v2) of its own, below the
// one it was in, with a quota of processor time: a part of what it had, which may be less than a processor.
//
// The groups are named wherry-throttle-PID-VCPU, with the PID of this process. So if this process is killed,
// its groups are found by their names: abandoned() lists them, and release_abandoned() removes them. Needs
// root. Source: cgroups(7), and cgroup-v2 of the kernel's documentation (threaded mode).
//
// For one thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/reserve.h"
#include "qemu-glue/convergence/throttle.h"

namespace wherry::convergence {

class VcpuQuota final : public Throttle {
 public:
  // The threads go into groups without a limit yet.
  static Result<std::unique_ptr<Throttle>> take(pid_t qemu, const std::vector<pid_t>& threads);
  // The threads go back to where they were.
  ~VcpuQuota() override;

  Result<> throttle(double part) override;
  double holds(const qemu::MigrationFigures&) const override { return part_; }
  double taken(double running) const override { return running / processors_; }
  // A thread that waits for its next share of time does not answer QEMU. Errors do not matter here; while the
  // guest runs, throttle() returns them.
  void let_stop() override { (void)throttle(0); }

  static std::vector<std::filesystem::path> abandoned();
  static void release_abandoned();

  static constexpr const char* kName = "vcpu-quota";

 private:
  VcpuQuota() = default;

  struct Group {
    std::filesystem::path path;
    bool v2 = false;
    double processors = 1;  // how many processors its thread has without this quota, at most 1
  };
  std::vector<Group> groups_;
  double processors_ = 0;  // the most processors that a thread has without a quota of ours
  double part_ = 0;        // the part that is taken, 0 to kMost
  Reserve reserve_;        // descriptors to move the threads back with
};

}  // namespace wherry::convergence
