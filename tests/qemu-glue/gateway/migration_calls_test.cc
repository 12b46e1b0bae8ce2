#include "qemu-glue/gateway/migration_calls.h"

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/gateway/support.h"

namespace wherry::libvirt {
namespace {

using namespace test;

constexpr uint32_t kOpen = 1;
constexpr uint32_t kDestroy = 12;
constexpr uint32_t kPrepare3Params = 303;
constexpr uint32_t kTunnel3 = 215;

// What passes of those bytes, given in two parts at every place in turn; always the same. `why`: parts of the
// error.
template <class... Parts>
void expect_passes(const Bytes& bytes, const Bytes& passes, const Parts&... why) {
  for (size_t split = 0; split <= bytes.size(); ++split) {
    MigrationCalls calls;
    Bytes pass;
    auto taken = calls.take(std::span(bytes).first(split), pass);
    if (taken) taken = calls.take(std::span(bytes).subspan(split), pass);
    ASSERT_EQ(pass, passes) << split;
    if constexpr (sizeof...(why) > 0) {
      EXPECT_ERROR(taken, why...);
    } else {
      EXPECT_TRUE(taken) << taken.error().message;
    }
  }
}

TEST(MigrationCalls, WhatAMigrationNeedsPassesUnchanged) {
  const Bytes all =
      joined({call(kOpen, Bytes(8, 1)), call(kPrepare3Params, Bytes(40, 2)), call(kTunnel3),
              message(header(kTunnel3, MessageType::stream, 3, MessageStatus::more), Bytes(60, 3)),
              message({0x6b656570, 1, 1, MessageType::event, 0, MessageStatus::ok})});
  expect_passes(all, all);
}

TEST(MigrationCalls, AnythingElseEndsTheConnectionAndIsNamed) {
  const Bytes before = call(kOpen);
  const Bytes after = call(kOpen);
  expect_passes(joined({before, call(kDestroy, Bytes(24, 1)), after}), before, "procedure 12 ");
  // A command to QEMU's monitor, which is another program.
  expect_passes(joined({before, message({0x20008087, 1, 1, MessageType::call, 9, MessageStatus::ok}), after}),
                before, "procedure 1 ", "0x20008087");
  // A message that only the server sends.
  expect_passes(joined({before, reply(kOpen), after}), before, "procedure 1 ", "type 1");
  expect_passes(joined({before, message(header(kOpen, MessageType::call_with_fds))}), before, "type 4");
}

TEST(MigrationCalls, WhatIsNoRpcDoesNotPass) {
  expect_passes(joined({call(kOpen), Bytes(40, 0xff)}), call(kOpen), "not libvirt's RPC");
}

TEST(MigrationCalls, WhatVirshAndLibvirtSendPasses) {
  for (const char* name : {"client-driven.client", "p2p.client", "without-uri.client", "refused.client"}) {
    const Bytes bytes = captured(name);
    MigrationCalls calls;
    Bytes pass;
    auto taken = calls.take(bytes, pass);
    EXPECT_TRUE(taken) << name << ": " << taken.error().message;
    EXPECT_EQ(pass, bytes) << name;
  }
}

}  // namespace
}  // namespace wherry::libvirt
