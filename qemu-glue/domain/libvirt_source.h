// The source's QEMU through libvirt's API: libvirt, which started that QEMU, keeps its monitor for itself.
//
// libvirt allows these calls while it migrates the domain. Each takes about a millisecond, or as long as QEMU
// does not answer libvirt: timeouts do not hold here. What only QEMU's monitor could do is an Error. libvirt
// would pass QMP commands on (virDomainQemuMonitorCommand), but marks the domain as tainted for that.
//
// An EventLoop has to run: without it no stop is heard of, and a libvirt that hangs is not noticed. One
// thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "qemu-glue/convergence/source_qemu.h"
#include "qemu-glue/domain/libvirt.h"
#include "qemu-glue/domain/typed_params.h"

namespace wherry::domain {

class LibvirtSource final : public convergence::SourceQemu {
 public:
  // For the domain whose QEMU is that process. An Error if it does not migrate away.
  static Result<std::unique_ptr<LibvirtSource>> open(const std::string& uri, pid_t qemu);
  ~LibvirtSource() override;

  // The figures of the domain's job.
  Result<qemu::MigrationFigures> figures(std::chrono::milliseconds timeout = kMonitorTimeout) override;
  // The downtime limit alone. It is not set any more once somebody else has set it through libvirt (virsh
  // migrate-setmaxdowntime): then theirs holds.
  Result<convergence::SwitchoverLimits> limits() override;
  Result<> set_limits(const convergence::SwitchoverLimits& limits,
                      std::chrono::milliseconds timeout = kMonitorTimeout) override;
  Result<> start_postcopy() override;
  void on_stop(std::function<void(double ago)> heard) override { on_stop_ = std::move(heard); }
  Result<Monitor*> monitor_for(std::string_view command) override;

  // Waits at most that long until libvirt says that the guest has stopped, goes on or has left this host.
  // Whether it has said so. Each stop is passed to on_stop()'s function here, once.
  bool wait_event(std::chrono::milliseconds longest);

 private:
  // libvirt may call back once more after it was told not to.
  struct Heard {
    Mutex mutex;
    Condition news;
    bool any WHERRY_GUARDED_BY(mutex) = false;
    // When the guest stopped.
    std::optional<std::chrono::steady_clock::time_point> stop WHERRY_GUARDED_BY(mutex);
  };
  LibvirtSource(Connection connection, Domain domain, pid_t qemu);
  Result<std::vector<pid_t>> thread_of_each_vcpu() override;
  Result<uint64_t> downtime_limit();

  const Connection connection_;
  const Domain domain_;
  const pid_t qemu_;
  std::optional<uint64_t> set_;  // the downtime limit that we set last, milliseconds
  std::function<void(double ago)> on_stop_;
  const std::shared_ptr<Heard> heard_ = std::make_shared<Heard>();
  int callback_ = -1;  // libvirt's number for it; negative: there is none
};

// From libvirt's figures of a job of that type (virDomainJobType).
qemu::MigrationFigures figures_of_job(int type, const TypedParams& figures, bool guest_runs);
// libvirt has QEMU name its threads (debug-threads): those of vCPUs are called "CPU …".
std::vector<pid_t> vcpu_threads_of(pid_t process);

}  // namespace wherry::domain
