// A QEMU whose monitor somebody else keeps, as libvirt does: what only the monitor can do is refused.
#pragma once

#include "qemu-glue/convergence/qmp_source.h"

namespace wherry::convergence {

class KeptSource final : public SourceQemu {
 public:
  explicit KeptSource(Monitor& qemu) : qemu_(qemu) {}
  Result<qemu::MigrationFigures> figures(std::chrono::milliseconds timeout) override {
    return qemu_.figures(timeout);
  }
  Result<SwitchoverLimits> limits() override { return qemu_.limits(); }
  Result<> set_limits(const SwitchoverLimits& limits, std::chrono::milliseconds timeout) override {
    return qemu_.set_limits(limits, timeout);
  }
  Result<> start_postcopy() override { return qemu_.start_postcopy(); }
  void on_stop(std::function<void(double ago)> heard) override { qemu_.on_stop(std::move(heard)); }
  Result<Monitor*> monitor_for(std::string_view command) override { return fail("no way to {}", command); }

 private:
  Result<std::vector<pid_t>> thread_of_each_vcpu() override { return qemu_.vcpu_threads(); }

  QmpSource qemu_;
};

}  // namespace wherry::convergence
