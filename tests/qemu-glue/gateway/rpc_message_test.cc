#include "qemu-glue/gateway/rpc_message.h"

#include <algorithm>

#include "tests/qemu-glue/gateway/support.h"

namespace wherry::libvirt {
namespace {

using namespace test;

TEST(RpcMessage, ReadsAHeader) {
  const auto read = read_header(message(header(303, MessageType::reply, 9, MessageStatus::error)));
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->is_remote());
  EXPECT_EQ(read->procedure, 303u);
  EXPECT_EQ(read->type, MessageType::reply);
  EXPECT_EQ(read->serial, 9u);
  EXPECT_EQ(read->status, MessageStatus::error);
  EXPECT_FALSE(read->has_fds());
}

TEST(RpcMessage, KnowsItsProgramAndVersion) {
  auto keepalive = header(1, MessageType::event);
  keepalive.program = 0x6b656570;
  EXPECT_FALSE(read_header(message(keepalive))->is_remote());
  auto next = header(303, MessageType::call);
  next.version = 2;
  EXPECT_FALSE(read_header(message(next))->is_remote());
}

TEST(RpcMessage, RefusesWhatNoLibvirtSends) {
  EXPECT_FALSE(read_header(message(header(1, static_cast<MessageType>(6)))));
  EXPECT_FALSE(read_header(message(header(1, MessageType::stream, 1, static_cast<MessageStatus>(3)))));
  Bytes cut = message(header(1, MessageType::call));
  cut.pop_back();
  EXPECT_FALSE(read_header(cut));
}

TEST(RpcMessage, MakesAnErrorOfACall) {
  const Bytes made = error_reply(header(303, MessageType::call, 9), "host D: no route");
  const Bytes expected = reply(303,
                               Xdr()
                                   .u32(9)                        // VIR_ERR_OPERATION_FAILED
                                   .u32(7)                        // VIR_FROM_RPC
                                   .optional("host D: no route")  //
                                   .u32(2)                        // VIR_ERR_ERROR
                                   .u32(0)                        // domain
                                   .optional({})
                                   .optional({})
                                   .optional({})
                                   .u32(0)
                                   .u32(0)
                                   .u32(0),  // network
                               9, MessageStatus::error);
  EXPECT_EQ(made, expected);
}

// An error captured from libvirt has its fields in the same places as ours.
TEST(RpcMessage, HasAnErrorLaidOutAsLibvirtDoes) {
  const auto all = messages(captured("refused.server"));
  const auto found = std::find_if(all.begin(), all.end(), [](const Bytes& message) {
    return read_header(message)->status == MessageStatus::error;
  });
  ASSERT_NE(found, all.end());
  EXPECT_EQ(read_header(*found)->procedure, 303u);
  const Bytes& real = *found;
  XdrReader in(real, kHeadBytes);
  EXPECT_EQ(in.u32(), 74u);  // VIR_ERR_ARGUMENT_UNSUPPORTED
  EXPECT_EQ(in.u32(), 10u);  // VIR_FROM_QEMU
  EXPECT_TRUE(
      in.optional_string().value_or("").starts_with("argument unsupported: unsupported scheme wherry"));
  EXPECT_EQ(in.u32(), 2u);
  EXPECT_EQ(in.u32(), 0u);
  for (int i = 0; i < 3; ++i) in.optional_string();
  in.u32();
  in.u32();
  EXPECT_EQ(in.u32(), 0u);
  EXPECT_TRUE(in.complete());
}

}  // namespace
}  // namespace wherry::libvirt
