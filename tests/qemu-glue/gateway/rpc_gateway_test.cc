#include "qemu-glue/gateway/rpc_gateway.h"

#include <algorithm>

#include "tests/qemu-glue/gateway/support.h"

namespace wherry::libvirt {
namespace {

using namespace test;

constexpr uint32_t kParams = 303;

// A gateway, the routes that it asked for, and what it sent on.
struct Connection {
  std::vector<std::string> asked;  // "URI DOMAIN FLAGS", with "-" for no URI
  Result<std::optional<std::string>> answer = std::string(kPath);
  RpcGateway::Output sent;
  RpcGateway gateway{[this](const MigrationRequest& request) {
    asked.push_back(fmt::format("{} {} {:x}", request.uri.value_or("-"), request.domain, request.flags));
    return answer;
  }};

  void client(const Bytes& bytes) { gateway.from_client(bytes, sent); }
  void server(const Bytes& bytes) { gateway.from_server(bytes, sent); }
};

Bytes prepare_params(std::string_view uri, uint32_t serial = 7) {
  return call(kParams, Xdr().u32(1).parameter("migrate_uri", uri).string("cookie").u32(1), serial);
}
Bytes ready(std::optional<std::string_view> uri, uint32_t serial = 7) {
  return reply(kParams, Xdr().string("cookie").optional(uri), serial);
}
Bytes event() {
  return message(header(107, MessageType::event, 0), Bytes(40, 1));
}

TEST(RpcGateway, GivesBothSidesTheSamePath) {
  Connection connection;
  connection.client(prepare_params(kGiven));
  EXPECT_EQ(connection.asked, std::vector<std::string>{"wherry://D?streams=4  1"});
  EXPECT_EQ(connection.sent.to_server, prepare_params(kPath));
  connection.server(ready({}));
  EXPECT_EQ(connection.sent.to_client, ready(kPath));
}

TEST(RpcGateway, DoesSoForEveryKindOfPrepare) {
  for (uint32_t procedure : {61, 108, 214}) {
    const auto make = [&](std::optional<std::string_view> uri) {
      Xdr out;
      if (procedure == 214) out.string("cookie");
      out.optional(uri).u64(1).optional("web1").u64(0);
      if (procedure != 61) out.string("<domain/>");
      return call(procedure, out);
    };
    Connection connection;
    connection.client(make({}));
    EXPECT_EQ(connection.asked, std::vector<std::string>{"- web1 1"});
    EXPECT_EQ(connection.sent.to_server, make(kPath));
    connection.server(reply(procedure, Xdr().string("cookie").optional("tcp://D:49152")));
    EXPECT_EQ(connection.sent.to_client, reply(procedure, Xdr().string("cookie").optional(kPath)));
  }
}

TEST(RpcGateway, LeavesAMigrationAloneThatWantsNoRoute) {
  Connection connection;
  connection.answer = std::nullopt;
  connection.client(prepare_params("tcp://D"));
  EXPECT_EQ(connection.asked.size(), 1u);
  EXPECT_EQ(connection.sent.to_server, prepare_params("tcp://D"));
  connection.server(ready({}));
  EXPECT_EQ(connection.sent.to_client, ready({}));
}

TEST(RpcGateway, AnswersItselfWhereThereIsNoRoute) {
  Connection connection;
  connection.answer = fail("D: no route");
  connection.client(joined({call(1), prepare_params(kGiven), call(2)}));
  EXPECT_EQ(connection.sent.to_server, joined({call(1), call(2)}));
  EXPECT_EQ(connection.sent.to_client, error_reply(header(kParams, MessageType::call), "D: no route"));
  // The serial can be used again.
  connection.sent = {};
  connection.server(ready({}));
  EXPECT_EQ(connection.sent.to_client, ready({}));
}

// The gateway never puts its own reply into the middle of a message from the server.
TEST(RpcGateway, PutsItsAnswerBetweenMessages) {
  const Bytes refusal = error_reply(header(kParams, MessageType::call), "no");
  const Bytes first = event();
  for (size_t split = 0; split <= first.size(); ++split) {
    Connection connection;
    connection.answer = fail("no");
    const auto middle = first.begin() + static_cast<ptrdiff_t>(split);
    connection.server({first.begin(), middle});
    connection.client(prepare_params(kGiven));
    connection.server({middle, first.end()});
    connection.server(event());
    const bool ahead = split < kHeadBytes;
    ASSERT_EQ(connection.sent.to_client,
              ahead ? joined({refusal, first, event()}) : joined({first, refusal, event()}))
        << split;
  }
}

TEST(RpcGateway, FindsRepliesByTheirSerial) {
  Connection connection;
  connection.client(prepare_params(kGiven, 1));
  connection.client(call(5, {}, 2));
  connection.client(prepare_params(kGiven, 3));
  // None of these is the awaited reply: another procedure, an event, another serial.
  const Bytes others =
      joined({reply(5, Xdr().string("").optional({}), 1),
              message(header(kParams, MessageType::event, 1), Xdr().string("").optional({})), ready({}, 2)});
  connection.server(joined({others, ready({}, 3), ready({}, 1), ready({}, 1)}));
  EXPECT_EQ(connection.sent.to_client, joined({others, ready(kPath, 3), ready(kPath, 1), ready({}, 1)}));
}

TEST(RpcGateway, PassesAnErrorOfTheServerOn) {
  Connection connection;
  connection.client(prepare_params(kGiven));
  // Even an error whose payload could be read as a success.
  const Bytes error = reply(kParams, Xdr().string("cookie").optional({}), 7, MessageStatus::error);
  connection.server(joined({error, ready({})}));
  EXPECT_EQ(connection.sent.to_client, joined({error, ready({})}));
}

TEST(RpcGateway, PassesWhatItDoesNotUnderstandOn) {
  Connection connection;
  const Bytes strange =
      joined({call(kParams, Xdr().u32(65)), call(kParams), call(61, Bytes(3)), call(99999)});
  connection.client(strange);
  EXPECT_EQ(connection.sent.to_server, strange);
  EXPECT_TRUE(connection.asked.empty());
  connection.client(prepare_params(kGiven));
  const Bytes reply_of_tomorrow = reply(kParams, Xdr().string("").optional({}).u32(1));
  connection.server(reply_of_tomorrow);
  EXPECT_EQ(connection.sent.to_client, reply_of_tomorrow);
}

TEST(RpcGateway, LeavesTunnelledMigrationsAlone) {
  Connection connection;
  const Bytes tunnel = call(304, Xdr().u32(1).parameter("destination_name", "web1").string("").u32(8));
  connection.client(tunnel);
  EXPECT_EQ(connection.sent.to_server, tunnel);
  EXPECT_TRUE(connection.asked.empty());
}

// Once one side sends something other than RPC, the whole connection is passed on unread and at once.
TEST(RpcGateway, LeavesTheConnectionAloneOnceItIsNoRpc) {
  const Bytes tls{0x16, 3, 1, 2};
  const Bytes half(28, 0);
  {
    Connection connection;
    const Bytes whole = ready({});
    connection.client(prepare_params(kGiven));
    connection.sent = {};
    connection.server({whole.begin(), whole.begin() + 30});
    EXPECT_EQ(connection.sent.to_client, Bytes());
    connection.client(tls);
    EXPECT_EQ(connection.sent.to_client, Bytes(whole.begin(), whole.begin() + 30));
    connection.server({whole.begin() + 30, whole.end()});
    EXPECT_EQ(connection.sent.to_client, whole);
    connection.client(prepare_params(kGiven));
    EXPECT_EQ(connection.sent.to_server, joined({tls, prepare_params(kGiven)}));
  }
  {
    Connection connection;
    const Bytes whole = prepare_params(kGiven);
    connection.client({whole.begin(), whole.end() - 1});
    connection.server(tls);
    connection.client({whole.end() - 1, whole.end()});
    EXPECT_EQ(connection.sent.to_server, whole);
    EXPECT_TRUE(connection.asked.empty());
  }
}

TEST(RpcGateway, BoundsWhatItKeepsInMind) {
  Connection connection;
  for (uint32_t serial = 0; serial < 100; ++serial) connection.client(prepare_params(kGiven, serial));
  EXPECT_EQ(connection.sent.to_client, Bytes());
  connection.client(prepare_params(kGiven, 100));
  EXPECT_EQ(connection.asked.size(), 100u);
  EXPECT_EQ(connection.sent.to_client,
            error_reply(header(kParams, MessageType::call, 100),
                        "too many migrations at once: the destination's libvirt does not answer"));
  connection.server(ready({}, 50));
  connection.client(prepare_params(kGiven, 101));
  EXPECT_EQ(connection.asked.size(), 101u);
}

// Captured from libvirt 9.0.
template <class Take>
void in_chunks(const Bytes& bytes, size_t chunk, const Take& take) {
  for (auto left = std::span(bytes); !left.empty();) {
    const auto piece = left.first(std::min(chunk, left.size()));
    take(Bytes(piece.begin(), piece.end()));
    left = left.subspan(piece.size());
  }
}

class RpcGatewayOnCaptures : public testing::TestWithParam<const char*> {};

// Expects that everything of one side was passed on unchanged except for its one PREPARE3_PARAMS message,
// which is returned as it was passed on.
Bytes changed(const Bytes& sent, const Bytes& passed) {
  const auto before = messages(sent);
  const auto after = messages(passed);
  EXPECT_EQ(before.size(), after.size());
  std::vector<Bytes> found;
  for (size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
    if (read_header(before[i])->procedure == kParams) {
      found.push_back(after[i]);
    } else {
      EXPECT_EQ(before[i], after[i]);
    }
  }
  EXPECT_EQ(found.size(), 1u);
  return found.empty() ? Bytes(kHeadBytes) : found[0];
}

TEST_P(RpcGatewayOnCaptures, ReroutesThem) {
  const std::string name = GetParam();
  const Bytes client = captured(name + ".client");
  const Bytes server = captured(name + ".server");
  for (size_t chunk : {SIZE_MAX, size_t{1000}, size_t{7}, size_t{1}}) {
    Connection connection;
    in_chunks(client, chunk, [&](const Bytes& piece) { connection.client(piece); });
    in_chunks(server, chunk, [&](const Bytes& piece) { connection.server(piece); });
    EXPECT_EQ(connection.asked,
              std::vector<std::string>{
                  fmt::format("{} web1 {}", name == "without-uri" ? "-" : kGiven, name == "p2p" ? 3 : 1)});
    const Bytes call = changed(client, connection.sent.to_server);
    const auto read = PrepareCall::read(read_header(call).value(), call);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->request().uri, kPath);
    EXPECT_EQ(read->request().domain, "web1");
    const Bytes reply = changed(server, connection.sent.to_client);
    XdrReader in(reply, kHeadBytes);
    EXPECT_TRUE(in.string().starts_with("<qemu-migration>"));
    EXPECT_EQ(in.optional_string(), kPath);
    EXPECT_TRUE(in.complete());
  }
}

TEST_P(RpcGatewayOnCaptures, PassesThemOn) {
  const std::string name = GetParam();
  Connection connection;
  connection.answer = std::nullopt;
  connection.client(captured(name + ".client"));
  connection.server(captured(name + ".server"));
  EXPECT_EQ(connection.sent.to_server, captured(name + ".client"));
  EXPECT_EQ(connection.sent.to_client, captured(name + ".server"));
}

INSTANTIATE_TEST_SUITE_P(All, RpcGatewayOnCaptures, testing::Values("client-driven", "p2p", "without-uri"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace wherry::libvirt
