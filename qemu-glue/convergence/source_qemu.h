// The source's QEMU, as the end of a migration is steered there: what Convergence asks of it, and what it is
// told.
//
// QmpSource asks QEMU's own monitor. Under libvirt, which keeps that monitor for itself,
// domain::LibvirtSource asks libvirt. For one thread at a time. Timeouts apply if QEMU itself is asked.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "qemu-glue/convergence/switchover_limits.h"
#include "qemu-glue/monitor/migration_figures.h"
#include "qemu-glue/monitor/monitor.h"

namespace wherry::convergence {

class SourceQemu {
 public:
  virtual ~SourceQemu() = default;

  // How its migration stands.
  virtual Result<qemu::MigrationFigures> figures(std::chrono::milliseconds timeout = kMonitorTimeout) = 0;
  virtual Result<SwitchoverLimits> limits() = 0;
  virtual Result<> set_limits(const SwitchoverLimits& limits,
                              std::chrono::milliseconds timeout = kMonitorTimeout) = 0;
  // The threads that run vCPUs, sorted, each once: with TCG one may run all. Never empty.
  Result<std::vector<pid_t>> vcpu_threads();
  virtual Result<> start_postcopy() = 0;
  // As Monitor::on_stop: `heard` is called when the guest has stopped, with how many seconds ago that was. It
  // must not ask anything. Empty: nobody wants to know any more.
  virtual void on_stop(std::function<void(double ago)> heard) = 0;

  // QEMU's own monitor, for a command that only QEMU has. Fails, and names the command, if somebody else
  // keeps the monitor.
  virtual Result<Monitor*> monitor_for(std::string_view command) = 0;

 private:
  // As QEMU names them, one for each vCPU.
  virtual Result<std::vector<pid_t>> thread_of_each_vcpu() = 0;
};

}  // namespace wherry::convergence
