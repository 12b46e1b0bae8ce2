#include "qemu-glue/convergence/qmp_source.h"

#include "qemu-glue/monitor/json_member.h"

namespace wherry::convergence {

Result<qemu::MigrationFigures> QmpSource::figures(std::chrono::milliseconds timeout) {
  auto answer = monitor_.execute("query-migrate", {}, timeout);
  if (!answer) return pass_on(answer);
  return qemu::figures_of(*answer);
}

Result<SwitchoverLimits> QmpSource::limits() {
  auto parameters = monitor_.execute("query-migrate-parameters");
  if (!parameters) return pass_on(parameters);
  return limits_in(*parameters);
}

Result<> QmpSource::set_limits(const SwitchoverLimits& limits, std::chrono::milliseconds timeout) {
  auto set = monitor_.execute("migrate-set-parameters", to_parameters(limits), timeout);
  if (!set) return pass_on(set);
  return {};
}

Result<> QmpSource::start_postcopy() {
  auto started = monitor_.execute("migrate-start-postcopy");
  if (!started) return pass_on(started);
  return {};
}

Result<std::vector<pid_t>> QmpSource::thread_of_each_vcpu() {
  auto vcpus = monitor_.execute("query-cpus-fast");
  if (!vcpus) return pass_on(vcpus);
  std::vector<pid_t> threads;
  for (const nlohmann::json& vcpu : *vcpus) {
    const auto thread = static_cast<pid_t>(qemu::number_member(vcpu, "thread-id"));
    if (thread > 0) threads.push_back(thread);
  }
  return threads;
}

}  // namespace wherry::convergence
