#include "qemu-glue/convergence/switchover_limits.h"

#include "qemu-glue/monitor/json_member.h"

namespace wherry::convergence {
namespace {

constexpr const char* kDowntime = "downtime-limit";
constexpr const char* kBandwidth = "avail-switchover-bandwidth";

std::optional<uint64_t> limit_named(const nlohmann::json& parameters, const char* name) {
  const nlohmann::json* value = qemu::member(parameters, name);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->get<uint64_t>();
}

}  // namespace

nlohmann::json to_parameters(const SwitchoverLimits& limits) {
  nlohmann::json parameters = nlohmann::json::object();
  if (limits.downtime_ms) parameters[kDowntime] = *limits.downtime_ms;
  if (limits.bandwidth) parameters[kBandwidth] = *limits.bandwidth;
  return parameters;
}

SwitchoverLimits limits_in(const nlohmann::json& parameters) {
  return {.downtime_ms = limit_named(parameters, kDowntime),
          .bandwidth = limit_named(parameters, kBandwidth)};
}

}  // namespace wherry::convergence
