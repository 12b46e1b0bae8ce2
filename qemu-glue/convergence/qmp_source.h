// The source's QEMU through its own monitor. Threads and errors: as the monitor has them.
#pragma once

#include "qemu-glue/convergence/source_qemu.h"

namespace wherry::convergence {

class QmpSource final : public SourceQemu {
 public:
  // `monitor` outlives this.
  explicit QmpSource(Monitor& monitor) : monitor_(monitor) {}

  Result<qemu::MigrationFigures> figures(std::chrono::milliseconds timeout = kMonitorTimeout) override;
  Result<SwitchoverLimits> limits() override;
  Result<> set_limits(const SwitchoverLimits& limits,
                      std::chrono::milliseconds timeout = kMonitorTimeout) override;
  Result<> start_postcopy() override;
  void on_stop(std::function<void(double ago)> heard) override { monitor_.on_stop(std::move(heard)); }
  Result<Monitor*> monitor_for(std::string_view) override { return &monitor_; }

 private:
  Result<std::vector<pid_t>> thread_of_each_vcpu() override;

  Monitor& monitor_;
};

}  // namespace wherry::convergence
