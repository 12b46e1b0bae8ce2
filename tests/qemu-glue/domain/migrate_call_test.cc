#include "qemu-glue/domain/migrate_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace wherry::domain {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

std::multimap<std::string, std::string> params(const MigrateOptions& options, const Ways& ways = {}) {
  std::multimap<std::string, std::string> found;
  const TypedParams params = migrate_params(options, ways);
  for (int i = 0; i < params.size(); ++i) {
    const virTypedParameter& each = params.data()[i];
    switch (each.type) {
      case VIR_TYPED_PARAM_STRING:
        found.emplace(each.field, each.value.s);
        break;
      case VIR_TYPED_PARAM_ULLONG:
        found.emplace(each.field, fmt::format("ull {}", each.value.ul));
        break;
      default:
        found.emplace(each.field, fmt::format("int {}", each.value.i));
    }
  }
  return found;
}

TEST(MigrateCall, AsksForNothingByItself) {
  EXPECT_EQ(migrate_flags({}), 0U);
  EXPECT_THAT(params({}), IsEmpty());
}

TEST(MigrateCall, HasAFlagForEachOption) {
  const std::pair<bool& (*)(MigrateOptions&), unsigned> flags[] = {
      {[](MigrateOptions& all) -> bool& { return all.live; }, VIR_MIGRATE_LIVE},
      {[](MigrateOptions& all) -> bool& { return all.offline; }, VIR_MIGRATE_OFFLINE},
      {[](MigrateOptions& all) -> bool& { return all.definition.persistent; }, VIR_MIGRATE_PERSIST_DEST},
      {[](MigrateOptions& all) -> bool& { return all.definition.undefine_source; },
       VIR_MIGRATE_UNDEFINE_SOURCE},
      {[](MigrateOptions& all) -> bool& { return all.suspend; }, VIR_MIGRATE_PAUSED},
      {[](MigrateOptions& all) -> bool& { return all.p2p; }, VIR_MIGRATE_PEER2PEER},
      {[](MigrateOptions& all) -> bool& { return all.storage.copy_all; }, VIR_MIGRATE_NON_SHARED_DISK},
      {[](MigrateOptions& all) -> bool& { return all.storage.copy_inc; }, VIR_MIGRATE_NON_SHARED_INC},
      {[](MigrateOptions& all) -> bool& { return all.postcopy.allowed; }, VIR_MIGRATE_POSTCOPY},
      {[](MigrateOptions& all) -> bool& { return all.parallel.on; }, VIR_MIGRATE_PARALLEL},
      {[](MigrateOptions& all) -> bool& { return all.compressed; }, VIR_MIGRATE_COMPRESSED},
      {[](MigrateOptions& all) -> bool& { return all.auto_converge; }, VIR_MIGRATE_AUTO_CONVERGE},
      {[](MigrateOptions& all) -> bool& { return all.tls.on; }, VIR_MIGRATE_TLS},
      {[](MigrateOptions& all) -> bool& { return all.unsafe; }, VIR_MIGRATE_UNSAFE},
      {[](MigrateOptions& all) -> bool& { return all.abort_on_error; }, VIR_MIGRATE_ABORT_ON_ERROR},
  };
  MigrateOptions all;
  unsigned expected = 0;
  for (const auto& [option, flag] : flags) {
    MigrateOptions one;
    option(one) = true;
    option(all) = true;
    expected |= flag;
    EXPECT_EQ(migrate_flags(one), flag);
  }
  EXPECT_EQ(migrate_flags(all), expected);
}

TEST(MigrateCall, HasAParameterForEachValue) {
  MigrateOptions options;
  options.storage.disks = {"vda", "vdb"};
  options.definition.name = "web2";
  options.definition.xml = "<domain/>";
  options.definition.persistent_xml = "<domain></domain>";
  options.tls.destination = "hostb";
  options.bandwidth = 5000000000;
  options.parallel.connections = 4;
  EXPECT_THAT(
      params(options, {.memory = "unix:///a", .disks = "unix:///b"}),
      UnorderedElementsAre(Pair("migrate_uri", "unix:///a"), Pair("disks_uri", "unix:///b"),
                           Pair("migrate_disks", "vda"), Pair("migrate_disks", "vdb"),
                           Pair("destination_name", "web2"), Pair("destination_xml", "<domain/>"),
                           Pair("persistent_xml", "<domain></domain>"), Pair("tls.destination", "hostb"),
                           Pair("bandwidth", "ull 5000000000"), Pair("parallel.connections", "int 4")));
}

}  // namespace
}  // namespace wherry::domain
