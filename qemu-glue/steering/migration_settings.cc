#include "qemu-glue/steering/migration_settings.h"

#include <algorithm>
#include <array>

#include "base/printable.h"
#include "qemu-glue/monitor/json_member.h"

namespace wherry {
namespace {

using nlohmann::json;

// No limit, for every QEMU.
constexpr uint64_t kUnlimited = 10'000'000'000'000;

constexpr const char* kMultifd = "multifd";
constexpr const char* kReturnPath = "return-path";
constexpr const char* kSwitchoverAck = "switchover-ack";

enum class Rule {
  own,      // of the end where it is set, and nothing to the other
  both,     // the ends must agree on it
  wherry,   // set by Wherry, here or while the migration runs
  refused,  // where the source has it, Wherry does not carry the guest
};

struct Capability {
  std::string_view name;
  Rule rule;
  const char* why = "";
};

constexpr auto kCapabilities = std::to_array<Capability>({
    {"auto-converge", Rule::own},
    {"background-snapshot", Rule::refused, "it makes a snapshot, and no migration"},
    {"block", Rule::own},      // until 9.0; the destination sees by the stream that there are disks
    {"compress", Rule::both},  // until 9.0
    {"dirty-bitmaps", Rule::both},
    {"dirty-limit", Rule::own},
    {"events", Rule::wherry},
    {"late-block-activate", Rule::own},
    {"mapped-ram", Rule::refused, "it is for migrations to a file"},
    {kMultifd, Rule::both},
    {"pause-before-switchover", Rule::own},
    {"postcopy-blocktime", Rule::own},
    {"postcopy-preempt", Rule::both},
    {"postcopy-ram", Rule::both},
    {"rdma-pin-all", Rule::own},  // of QEMU's own rdma:, which this is not
    {"release-ram", Rule::own},
    {kReturnPath, Rule::wherry},
    {kSwitchoverAck, Rule::wherry},
    {"validate-uuid", Rule::both},
    {"x-colo", Rule::refused, "its migration never ends"},
    {"x-ignore-shared", Rule::both},
    {"xbzrle", Rule::own},
    {"zero-blocks", Rule::own},
    {"zero-copy-send", Rule::refused, "it is for TCP, and Wherry takes the guest over a unix socket"},
});

struct Parameter {
  std::string_view name;
  Rule rule;
};

constexpr auto kParameters = std::to_array<Parameter>({
    {"announce-initial", Rule::own},
    {"announce-max", Rule::own},
    {"announce-rounds", Rule::own},
    {"announce-step", Rule::own},
    {"avail-switchover-bandwidth", Rule::wherry},
    {"block-bitmap-mapping", Rule::own},  // of the names that each end has for its disks
    {"block-incremental", Rule::own},
    {"compress-level", Rule::own},
    {"compress-threads", Rule::own},
    {"compress-wait-thread", Rule::own},
    {"cpr-exec-command", Rule::own},
    {"cpu-throttle-increment", Rule::wherry},
    {"cpu-throttle-initial", Rule::wherry},
    {"cpu-throttle-tailslow", Rule::wherry},
    {"decompress-threads", Rule::own},
    {"direct-io", Rule::own},
    {"downtime-limit", Rule::wherry},
    {"max-bandwidth", Rule::wherry},
    {"max-cpu-throttle", Rule::wherry},
    {"max-postcopy-bandwidth", Rule::own},
    {"mode", Rule::refused},  // but for normal
    {"multifd-channels", Rule::both},
    {"multifd-compression", Rule::both},
    {"multifd-qatzip-level", Rule::own},
    {"multifd-zlib-level", Rule::own},
    {"multifd-zstd-level", Rule::own},
    {"throttle-trigger-threshold", Rule::wherry},
    {"tls-authz", Rule::own},
    {"tls-creds", Rule::own},  // named as each end names it; but both have it or none
    {"tls-hostname", Rule::own},
    {"vcpu-dirty-limit", Rule::own},
    {"x-checkpoint-delay", Rule::own},
    {"x-rdma-chunk-size", Rule::own},
    {"x-vcpu-dirty-limit-period", Rule::own},
    {"xbzrle-cache-size", Rule::own},
    {"zero-page-detection", Rule::own},
});

template <class Table>
const auto* entry(const Table& table, std::string_view name) {
  const auto found =
      std::find_if(table.begin(), table.end(), [name](const auto& each) { return each.name == name; });
  return found == table.end() ? nullptr : &*found;
}

bool is_on(const json& capabilities, std::string_view name) {
  const auto found = capabilities.find(name);
  return found != capabilities.end() && *found == true;
}

bool has_tls(const json& parameters) {
  const std::string* credentials = qemu::text_member(parameters, "tls-creds");
  return credentials != nullptr && !credentials->empty();
}

Result<> refuse(const MigrationSettings& source, const MigrationSettings& destination) {
  for (const auto& [name, state] : source.capabilities.items()) {
    const Capability* known = entry(kCapabilities, name);
    const Rule rule = known ? known->rule : Rule::both;
    if (state != true) continue;
    if (rule == Rule::refused)
      return fail(
          "the source's QEMU has the capability {0} on: {1}. Switch it off there (migrate_set_capability {0} "
          "off)",
          printable(name), known->why);
    if (rule == Rule::both && !destination.capabilities.contains(name))
      return fail(
          "the source's QEMU has the capability {0} on, which the destination's has not: switch it off at "
          "the source (migrate_set_capability {0} off)",
          printable(name));
  }
  const std::string* mode = qemu::text_member(source.parameters, "mode");
  if (mode != nullptr && *mode != "normal")
    return fail(
        "the source's QEMU has the migration parameter mode at {}: that renews a QEMU on its host, and is no "
        "migration. Set it back (migrate_set_parameter mode normal)",
        printable(*mode));
  if (has_tls(source.parameters) != has_tls(destination.parameters))
    return fail(
        "the {} QEMU has TLS credentials for a migration (tls-creds), the other has none: set them at both, "
        "or at none",
        has_tls(source.parameters) ? "source's" : "destination's");
  return {};
}

}  // namespace

Result<MigrationSettings> read_settings(Monitor& qemu) {
  auto capabilities = qemu.execute("query-migrate-capabilities");
  if (!capabilities) return pass_on(capabilities);
  auto parameters = qemu.execute("query-migrate-parameters");
  if (!parameters) return pass_on(parameters);
  MigrationSettings settings;
  settings.parameters = std::move(*parameters);
  if (!settings.parameters.is_object()) return fail("QEMU's answer to query-migrate-parameters is no map");
  for (const json& each : *capabilities) {
    if (const std::string* name = qemu::text_member(each, "capability"))
      settings.capabilities[*name] = qemu::is_set(each, "state");
  }
  return settings;
}

// Parameters first: a QEMU that does not take the value of one is left as it was.
Result<> write_settings(Monitor& qemu, const MigrationSettings& settings) {
  if (!settings.parameters.empty()) {
    auto set = qemu.execute("migrate-set-parameters", settings.parameters);
    if (!set) return pass_on(set);
  }
  if (settings.capabilities.empty()) return {};
  json list = json::array();
  for (const auto& [name, state] : settings.capabilities.items())
    list.push_back({{"capability", name}, {"state", state}});
  auto set = qemu.execute("migrate-set-capabilities", {{"capabilities", list}});
  if (!set) return pass_on(set);
  return {};
}

Result<Settled> settle(const MigrationSettings& source, const MigrationSettings& destination) {
  if (auto refused = refuse(source, destination); !refused) return pass_on(refused);
  Settled settled;
  const auto set_here = [&](const char* name) {
    settled.source.capabilities[name] = true;
    settled.before.capabilities[name] = is_on(source.capabilities, name);
  };
  const auto set_there = [&](const std::string& name, bool on) {
    if (is_on(destination.capabilities, name) != on) settled.destination.capabilities[name] = on;
  };
  set_here(kReturnPath);
  set_here("events");
  // Devices whose state is large have most of it at the destination before the guest stops (QEMU 8.1).
  if (source.capabilities.contains(kSwitchoverAck) && destination.capabilities.contains(kSwitchoverAck)) {
    set_here(kSwitchoverAck);
    set_there(kReturnPath, true);
    set_there(kSwitchoverAck, true);
  }
  settled.source.parameters["max-bandwidth"] = kUnlimited;
  if (const json* limit = qemu::member(source.parameters, "max-bandwidth"))
    settled.before.parameters["max-bandwidth"] = *limit;

  for (const auto& [name, state] : source.capabilities.items()) {
    const Capability* known = entry(kCapabilities, name);
    if (known ? known->rule == Rule::both : state == true) set_there(name, state == true);
  }
  for (const Parameter& parameter : kParameters) {
    // They are all of multifd.
    if (parameter.rule != Rule::both || !is_on(source.capabilities, kMultifd)) continue;
    const std::string name(parameter.name);
    const json* value = qemu::member(source.parameters, name.c_str());
    if (value == nullptr) continue;
    const json* there = qemu::member(destination.parameters, name.c_str());
    if (there == nullptr || *there != *value) settled.destination.parameters[name] = *value;
  }
  return settled;
}

bool is_known_capability(std::string_view name) {
  return entry(kCapabilities, name) != nullptr;
}

bool is_known_parameter(std::string_view name) {
  return entry(kParameters, name) != nullptr;
}

}  // namespace wherry
