// Compares QEMU's schema (query-qmp-schema) with the tables of what Wherry knows: a new state, capability or
// parameter fails here. Then find out what it means for a migration, and add it to its table.
#include <gtest/gtest.h>

#include <algorithm>

#include "qemu-glue/monitor/migration_status.h"
#include "qemu-glue/monitor/run_state.h"
#include "qemu-glue/steering/migration_settings.h"
#include "tests/qemu-glue/real_qemu.h"

namespace wherry {
namespace {

using nlohmann::json;

// The schema's types by name, and the members of objects.
class Schema {
 public:
  explicit Schema(const json& entries) {
    for (const json& entry : entries) types_[entry["name"]] = entry;
  }
  json answer_of(const char* command) const { return types_.at(types_.at(command)["ret-type"]); }
  json type_of(const json& object, const char* member) const {
    for (const json& each : object["members"]) {
      if (each["name"] == member) return types_.at(each["type"]);
    }
    ADD_FAILURE() << "no " << member << " in " << object;
    return {};
  }
  json element_of(const json& array) const { return types_.at(array["element-type"]); }

 private:
  std::map<std::string, json> types_;
};

std::vector<std::string> members(const json& object) {
  std::vector<std::string> names;
  for (const json& member : object["members"]) names.push_back(member["name"]);
  return names;
}

// Figures of query-migrate. A new one could replace something that Wherry computes from others.
bool is_known_figure(const std::string& name) {
  static const std::set<std::string> known = {"status",
                                              "ram",
                                              "disk",
                                              "remaining",
                                              "vfio",
                                              "xbzrle-cache",
                                              "total-time",
                                              "expected-downtime",
                                              "downtime",
                                              "setup-time",
                                              "cpu-throttle-percentage",
                                              "error-desc",
                                              "blocked-reasons",
                                              "postcopy-blocktime",
                                              "postcopy-vcpu-blocktime",
                                              "postcopy-latency",
                                              "postcopy-latency-dist",
                                              "postcopy-vcpu-latency",
                                              "postcopy-non-vcpu-latency",
                                              "compression",
                                              "socket-address",
                                              "dirty-limit-throttle-time-per-round",
                                              "dirty-limit-ring-full-time"};
  return known.contains(name);
}

TEST(QemuSchema, HasNothingThatWherryDoesNotKnow) {
  for (const auto& binary : test::qemus()) {
    test::Qemu qemu(binary, {"-machine", "none"});
    auto qmp = qemu.monitor();
    ASSERT_TRUE(qmp);
    const auto version = qmp->execute("query-version");
    ASSERT_TRUE(version);
    SCOPED_TRACE((*version)["qemu"].dump());
    const auto entries = qmp->execute("query-qmp-schema");
    ASSERT_TRUE(entries);
    const Schema schema(*entries);
    const json status = schema.answer_of("query-status"), migration = schema.answer_of("query-migrate");
    const json statuses = schema.type_of(status, "status");
    for (const std::string name : statuses["values"])
      EXPECT_TRUE(qemu::run_state_named(name)) << "run state " << name;
    const json phases = schema.type_of(migration, "status");
    for (const std::string name : phases["values"])
      EXPECT_TRUE(qemu::phase_named(name)) << "status of a migration " << name;
    for (const auto& name : members(migration))
      EXPECT_TRUE(is_known_figure(name)) << "figure of a migration " << name;
    const json capability = schema.element_of(schema.answer_of("query-migrate-capabilities"));
    const json capabilities = schema.type_of(capability, "capability");
    for (const std::string name : capabilities["values"])
      EXPECT_TRUE(is_known_capability(name)) << "capability " << name;
    for (const auto& name : members(schema.answer_of("query-migrate-parameters")))
      EXPECT_TRUE(is_known_parameter(name)) << "parameter " << name;
  }
}

}  // namespace
}  // namespace wherry
