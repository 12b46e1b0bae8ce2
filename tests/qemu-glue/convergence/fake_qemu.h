// A QEMU that only has what a throttle is set by, and remembers what it was told.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "qemu-glue/monitor/monitor.h"

namespace wherry::convergence {

class FakeQemu : public Monitor {
 public:
  using json = nlohmann::json;

  Result<json> execute(std::string_view command, json arguments, std::chrono::milliseconds) override {
    commands.emplace_back(command);
    if (refuses.contains(commands.back())) return fail("{}: refused", command);
    if (command == "query-migrate-parameters") return parameters;
    if (command == "query-status" && !status.empty()) return json{{"status", status}};
    if (command == "query-migrate") return migration;
    if (command == "query-cpus-fast") return vcpus;
    if (command == "migrate-set-parameters") parameters.update(arguments);
    if (command == "query-migrate-capabilities")
      return json::array({{{"capability", "xbzrle"}, {"state", true}},
                          {{"capability", "auto-converge"}, {"state", auto_converge}}});
    if (command == "migrate-set-capabilities") {
      if (migrating-- > 0) return fail("{}: There's a migration process in progress", command);
      for (const json& each : arguments["capabilities"]) {
        if (each["capability"] == "auto-converge") auto_converge = each["state"];
      }
    }
    if (command == "set-vcpu-dirty-limit") {
      if (rates.empty()) return fail("{}: requires KVM with 'dirty-ring-size' set", command);
      limit = arguments["dirty-rate"];
    }
    if (command == "cancel-vcpu-dirty-limit") limit.reset();
    if (command == "query-vcpu-dirty-limit") {
      json limited = json::array();
      for (const int rate : rates) limited.push_back({{"current-rate", rate}});
      return limited;
    }
    return json::object();
  }

  using Monitor::stopped;

  json parameters = {{"downtime-limit", 500},           {"max-bandwidth", 7},
                     {"cpu-throttle-initial", 20},      {"cpu-throttle-increment", 10},
                     {"cpu-throttle-tailslow", true},   {"max-cpu-throttle", 80},
                     {"throttle-trigger-threshold", 50}};
  bool auto_converge = false;
  json migration = json::object();  // the answer to query-migrate
  json vcpus = json::array();       // the answer to query-cpus-fast
  int migrating = 0;                // how many tries to set capabilities fail, because a migration runs
  std::vector<int> rates;           // of vCPUs, MB/s; empty: there is no dirty ring
  std::optional<uint64_t> limit;    // the dirty limit of each vCPU, MB/s; nothing: there is none
  std::string status;               // of the guest; empty: it does not say
  std::set<std::string> refuses;
  std::vector<std::string> commands;
};

}  // namespace wherry::convergence
