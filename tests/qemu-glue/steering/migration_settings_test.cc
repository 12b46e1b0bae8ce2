#include "qemu-glue/steering/migration_settings.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"

namespace wherry {
namespace {

using nlohmann::json;

class MigrationSettingsTest : public testing::Test {
 protected:
  template <class... Parts>
  void expect_refused(const Parts&... parts) {
    EXPECT_ERROR(settle(source_, destination_), parts...);
  }
  Settled settled() {
    auto settled = settle(source_, destination_);
    EXPECT_TRUE(settled) << settled.error().message;
    return settled ? *settled : Settled();
  }

  // As a QEMU has them when it starts.
  MigrationSettings source_{{{"return-path", false},
                             {"events", false},
                             {"multifd", false},
                             {"compress", false},
                             {"xbzrle", false},
                             {"x-ignore-shared", false}},
                            {{"max-bandwidth", 134217728},
                             {"multifd-channels", 2},
                             {"multifd-compression", "none"},
                             {"mode", "normal"},
                             {"tls-creds", ""}}};
  MigrationSettings destination_ = source_;
};

TEST_F(MigrationSettingsTest, TheSourceIsSetForWherryAndCanBeSetBack) {
  source_.capabilities["events"] = true;
  const Settled what = settled();
  EXPECT_EQ(what.source.capabilities, (json{{"return-path", true}, {"events", true}}));
  EXPECT_EQ(what.before.capabilities, (json{{"return-path", false}, {"events", true}}));
  EXPECT_GT(what.source.parameters["max-bandwidth"], 1e12);
  EXPECT_EQ(what.before.parameters, (json{{"max-bandwidth", 134217728}}));
  EXPECT_TRUE(what.destination.capabilities.empty());
  EXPECT_TRUE(what.destination.parameters.empty());
}

TEST_F(MigrationSettingsTest, TheDestinationTakesWhatBothMustAgreeOn) {
  for (const char* name : {"multifd", "compress"}) source_.capabilities[name] = true;
  source_.parameters["multifd-channels"] = 7;
  const Settled what = settled();
  EXPECT_EQ(what.destination.capabilities, (json{{"multifd", true}, {"compress", true}}));
  EXPECT_EQ(what.destination.parameters, (json{{"multifd-channels", 7}}));
}

TEST_F(MigrationSettingsTest, AlsoWhatIsOff) {
  for (const char* name : {"multifd", "x-ignore-shared", "xbzrle"}) destination_.capabilities[name] = true;
  EXPECT_EQ(settled().destination.capabilities, (json{{"multifd", false}, {"x-ignore-shared", false}}))
      << "xbzrle is nothing to the source";
}

TEST_F(MigrationSettingsTest, WhatStandsSoAlreadyIsNotSet) {
  source_.capabilities["multifd"] = destination_.capabilities["multifd"] = true;
  EXPECT_TRUE(settled().destination.capabilities.empty());
}

TEST_F(MigrationSettingsTest, TheSwitchoverIsAcknowledgedWhereBothCan) {
  source_.capabilities["switchover-ack"] = false;
  EXPECT_FALSE(settled().source.capabilities.contains("switchover-ack"));
  destination_.capabilities["switchover-ack"] = false;
  const Settled what = settled();
  EXPECT_EQ(what.source.capabilities["switchover-ack"], true);
  EXPECT_EQ(what.destination.capabilities, (json{{"return-path", true}, {"switchover-ack", true}}));
}

TEST_F(MigrationSettingsTest, WhatTheDestinationLacksIsRefused) {
  source_.capabilities["compress"] = true;
  destination_.capabilities.erase("compress");
  expect_refused("migrate_set_capability compress off");
  source_.capabilities["compress"] = false;
  EXPECT_TRUE(settled().destination.capabilities.empty());
}

TEST_F(MigrationSettingsTest, WhatCannotBeCarriedIsRefused) {
  for (const char* name : {"x-colo", "background-snapshot", "mapped-ram", "zero-copy-send"}) {
    source_.capabilities[name] = true;
    expect_refused("capability", name);
    source_.capabilities[name] = false;
  }
  source_.parameters["mode"] = "cpr-reboot";
  expect_refused("migrate_set_parameter mode normal");
}

TEST_F(MigrationSettingsTest, TlsIsOfBothOrOfNone) {
  source_.parameters["tls-creds"] = "tls0";
  expect_refused("the source's QEMU", "TLS");
  destination_.parameters["tls-creds"] = "other";
  EXPECT_TRUE(settled().destination.parameters.empty());
  source_.parameters["tls-creds"] = nullptr;
  expect_refused("the destination's QEMU", "TLS");
}

TEST_F(MigrationSettingsTest, WhatIsNotKnownIsTakenForOneOfBothEnds) {
  source_.capabilities["new"] = true;
  expect_refused("capability new");
  destination_.capabilities["new"] = false;
  EXPECT_EQ(settled().destination.capabilities, (json{{"new", true}}));
  source_.parameters["newer"] = 1;
  EXPECT_TRUE(settled().destination.parameters.empty());
}

}  // namespace
}  // namespace wherry
