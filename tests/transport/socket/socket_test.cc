#include "transport/socket/socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/socket/endpoints.h"
#include "tests/transport/support.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"

namespace wherry {
namespace {

using std::chrono::seconds;
using test::tcp;

TEST(SendAndReceive, WholeThroughASmallBuffer) {
  auto [a, b] = test::socket_pair();
  int small = 4096;
  setsockopt(a.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  const std::vector<uint8_t> sent = test::noise(3000000, 5);
  std::thread sender([&, fd = a.get()] {
    std::vector<iovec> pieces = {piece(std::span(sent).first(0)), piece(std::span(sent).first(1)),
                                 piece(std::span(sent).subspan(1, 0)), piece(std::span(sent).subspan(1))};
    EXPECT_TRUE(send_all(fd, pieces));
  });
  std::vector<uint8_t> received(sent.size());
  std::vector<iovec> where = {
      {received.data(), 0}, {received.data(), 7}, {received.data() + 7, received.size() - 7}};
  auto got = recv_all(b.get(), where);
  EXPECT_TRUE(got && *got);
  EXPECT_EQ(received, sent);
  sender.join();
}

TEST(SendAndReceive, NothingIsAlwaysThere) {
  auto [a, b] = test::socket_pair();
  auto got = recv_all(b.get(), std::span<uint8_t>());
  EXPECT_TRUE(got && *got);
  EXPECT_TRUE(send_all(a.get(), std::span<const uint8_t>()));
}

TEST(SendAndReceive, TellsAnEndBeforeFromAnEndWithin) {
  auto [a, b] = test::socket_pair();
  ASSERT_TRUE(send_all(a.get(), test::bytes_of("abc")));
  a.reset();
  std::vector<uint8_t> three(3);
  auto got = recv_all(b.get(), three);
  EXPECT_TRUE(got && *got);
  got = recv_all(b.get(), three);
  EXPECT_TRUE(got && !*got);

  auto [c, d] = test::socket_pair();
  ASSERT_TRUE(send_all(c.get(), test::bytes_of("ab")));
  c.reset();
  EXPECT_ERROR(recv_all(d.get(), three), "ended in the middle");
}

TEST(SendAndReceive, SendingToNobodyIsAnErrorAndNoSignal) {
  auto [a, b] = test::socket_pair();
  b.reset();
  EXPECT_ERROR(send_all(a.get(), test::bytes_of("x")), "Broken pipe");
}

TEST(SendWhileTaken, IsNoErrorTowardsWhoHasLeft) {
  auto [a, b] = test::socket_pair();
  auto sent = send_while_taken(a.get(), test::bytes_of("x"));
  EXPECT_TRUE(sent && *sent);
  b.reset();
  sent = send_while_taken(a.get(), test::bytes_of("x"));
  EXPECT_TRUE(sent && !*sent);
  EXPECT_ERROR(send_while_taken(-1, test::bytes_of("x")), "Bad file descriptor");
}

TEST(SocketReason, NamesTheTimeThatHasRunOut) {
  auto [a, b] = test::socket_pair();
  EXPECT_EQ(reason(EAGAIN, a.get()), "Resource temporarily unavailable") << "not here";
  const timeval patience{0, 200'000};
  ASSERT_EQ(::setsockopt(a.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  EXPECT_EQ(reason(EAGAIN, a.get()), "no answer within 0.2 s");
  std::vector<uint8_t> byte(1);
  EXPECT_ERROR(recv_all(a.get(), byte), "no answer within 0.2 s");
  const Fd tcp_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  tune_tcp(tcp_socket.get(), seconds(30));
  EXPECT_EQ(reason(ETIMEDOUT, tcp_socket.get()), "Connection timed out: no answer within 30 s");
}

TEST(TcpSocket, TellsWhatItHasNotSentAndWhatThePeerDoesNotHave) {
  test::Watchdog watchdog("bytes of a full socket");
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener) << listener.error().message;
  auto client = connect_to(listener->where(), seconds(10), seconds(30));
  ASSERT_TRUE(client) << client.error().message;
  auto server = listener->accept(seconds(30));
  ASSERT_TRUE(server) << server.error().message;
  const std::vector<char> bytes(1 << 20);
  ssize_t sent = 0;
  while (unsent_bytes(client->get()) == 0) {  // until the peer's buffer is full
    const ssize_t now = ::send(client->get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (now > 0) sent += now;
  }
  const uint64_t unacknowledged = unacknowledged_bytes(client->get());
  EXPECT_GE(unacknowledged, unsent_bytes(client->get()));
  EXPECT_LE(unacknowledged, static_cast<uint64_t>(sent));
  std::vector<char> into(1 << 20);
  while (unacknowledged_bytes(client->get()) > 0) {
    if (::recv(server->get(), into.data(), into.size(), MSG_DONTWAIT) < 0) std::this_thread::yield();
  }
  EXPECT_EQ(unsent_bytes(client->get()), 0u);
}

}  // namespace
}  // namespace wherry
