#include "transport/socket/connect.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/base/expect_error.h"
#include "tests/transport/socket/endpoints.h"
#include "tests/transport/support.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

using std::chrono::seconds;
using test::kNoMore;
using test::tcp;
using test::unix_at;

TEST(ConnectTo, SaysWhatThereIsTooLittleOf) {
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  const Event cancel;
  for (size_t more = 0; more < 2; ++more) {  // the look-up needs one, and so does the connection
    const test::FewDescriptors few(more);
    auto made = connect_to(listener->where(), seconds(10), seconds(30), &cancel);
    if (!made) {
      EXPECT_ERROR(made, kNoMore);
    }
  }
  const test::FewDescriptors none(0);
  EXPECT_ERROR(connect_to(listener->where(), seconds(10), seconds(30), &cancel), kNoMore);
  EXPECT_ERROR(connect_to(tcp("no-such-host.invalid", 1), seconds(10), seconds(30)), kNoMore);
}

TEST(ConnectTo, NamesTheTimeThatAStuckListenerHad) {
  test::TempDir dir;
  auto listener = Listener::open(unix_at(dir.at("a.sock")));
  ASSERT_TRUE(listener);
  std::vector<Fd> waiting;
  Result<Fd> one;
  do {
    one = connect_to(unix_at(dir.at("a.sock")), std::chrono::milliseconds(50), seconds(1));
    if (one) waiting.push_back(std::move(*one));
  } while (one && waiting.size() < 10'000);
  EXPECT_ERROR(one, dir.at("a.sock"), "0.05 s");
}

TEST(ConnectTo, NamesTheAddressThatNobodyListensOn) {
  Endpoint where;
  {
    auto listener = Listener::open(tcp("127.0.0.1", 0));
    ASSERT_TRUE(listener);
    where = listener->where();
  }
  EXPECT_ERROR(connect_to(where, seconds(10), seconds(30)), where.str(), "refused");
}

TEST(ConnectTo, CallsFromAPortOfRoot) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can";
  for (const char* host : {"127.0.0.1", "::1"}) {
    auto listener = Listener::open(tcp(host, 0));
    if (!listener) continue;  // no IPv6 here
    std::vector<Fd> kept;     // each has a port of its own
    for (int i = 0; i < 20; ++i) {
      auto made = connect_to(listener->where(), seconds(10), seconds(30), nullptr, SourcePort::privileged);
      ASSERT_TRUE(made) << made.error().message;
      auto taken = listener->accept(seconds(30));
      ASSERT_TRUE(taken) << taken.error().message;
      const std::string caller = peer_address(taken->get());
      EXPECT_LT(std::stoul(caller.substr(caller.rfind(':') + 1)), 1024u) << caller;
      kept.push_back(std::move(*made));
      kept.push_back(std::move(*taken));
    }
  }
}

TEST(ConnectTo, NamesAHostThatDoesNotExist) {
  EXPECT_ERROR(connect_to(tcp("256.1.1.1", 1), seconds(10), seconds(30)), "256.1.1.1");
}

}  // namespace
}  // namespace wherry
