#include "transport/socket/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "tests/transport/support.h"
#include "transport/socket/addresses.h"

namespace wherry {
namespace {

using std::chrono::seconds;

Endpoint unix_at(const std::string& path) {
  return {.path = path, .host = {}, .port = 0};
}
Endpoint tcp(const std::string& host, uint16_t port) {
  return {.path = {}, .host = host, .port = port};
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

TEST(Endpoint, WritesAddressesAsPeopleDo) {
  EXPECT_EQ(unix_at("/run/a.sock").str(), "/run/a.sock");
  EXPECT_EQ(tcp("host.example", 16520).str(), "host.example:16520");
  EXPECT_EQ(tcp("10.0.0.1", 1).str(), "10.0.0.1:1");
  EXPECT_EQ(tcp("fd98::1", 16520).str(), "[fd98::1]:16520");
  EXPECT_EQ(tcp("fe80::1%eth0", 16520).str(), "[fe80::1%25eth0]:16520");
}

TEST(Endpoint, KnowsItsOwnMachine) {
  for (const char* host : {"127.0.0.1", "127.255.0.9", "::1", "localhost"}) {
    EXPECT_TRUE(tcp(host, 1).is_loopback()) << host;
  }
  EXPECT_TRUE(unix_at("/x").is_loopback());
  for (const char* host : {"", "0.0.0.0", "::", "126.255.255.255", "128.0.0.1", "10.0.0.1", "::2", "fe80::1",
                           "localhost.example.org", "127.0.0.1.example.org", "127.1", "host"}) {
    EXPECT_FALSE(tcp(host, 1).is_loopback()) << host;
  }
}

TEST(UnixListener, IsForItsOwnerOnlyAndGoesWithItsPath) {
  test::TempDir dir;
  const std::string path = dir.at("a.sock");
  {
    auto listener = Listener::open(unix_at(path));
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_EQ(listener->where().path, path);
    struct stat info {};
    ASSERT_EQ(::lstat(path.c_str(), &info), 0);
    EXPECT_TRUE(S_ISSOCK(info.st_mode));
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
  EXPECT_FALSE(exists(path));
}

TEST(UnixListener, AMovedListenerKeepsItsPath) {
  test::TempDir dir;
  const std::string path = dir.at("a.sock");
  {
    auto listener = Listener::open(unix_at(path));
    ASSERT_TRUE(listener);
    Listener other = std::move(*listener);
    { auto old = std::move(listener); }
    EXPECT_TRUE(exists(path));
    EXPECT_TRUE(connect_to(unix_at(path), seconds(1), seconds(1)));
  }
  EXPECT_FALSE(exists(path));
}

TEST(UnixListener, AnAssignmentRemovesThePathOfTheOld) {
  test::TempDir dir;
  auto a = Listener::open(unix_at(dir.at("a.sock")));
  auto b = Listener::open(unix_at(dir.at("b.sock")));
  ASSERT_TRUE(a && b);
  *a = std::move(*b);
  EXPECT_FALSE(exists(dir.at("a.sock")));
  EXPECT_TRUE(exists(dir.at("b.sock")));
}

TEST(UnixListener, ReplacesASocketLeftBehind) {
  test::TempDir dir;
  const std::string path = dir.at("a.sock");
  {
    Fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(dead.get(), 1), 0);
  }
  ASSERT_TRUE(exists(path));
  auto listener = Listener::open(unix_at(path));
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_TRUE(connect_to(unix_at(path), seconds(1), seconds(1)));
}

TEST(UnixListener, LeavesAPathThatIsInUse) {
  test::TempDir dir;
  const std::string path = dir.at("a.sock");
  auto first = Listener::open(unix_at(path));
  ASSERT_TRUE(first);
  EXPECT_ERROR(Listener::open(unix_at(path)), path + " is in use");
  EXPECT_TRUE(exists(path));
  EXPECT_TRUE(connect_to(unix_at(path), seconds(1), seconds(1)));
}

// A listener whose queue is full is a listener all the same; looking must not wait for it.
TEST(UnixListener, LeavesAPathThatIsInUseWithAFullQueue) {
  test::Watchdog watchdog("Listener::open on a path whose queue is full");
  test::TempDir dir;
  const std::string path = dir.at("a.sock");
  Fd busy(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(::bind(busy.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(busy.get(), 0), 0);
  std::vector<Fd> waiting;
  for (;;) {
    Fd one(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (::connect(one.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) break;
    waiting.push_back(std::move(one));
  }
  EXPECT_ERROR(Listener::open(unix_at(path)), path + " is in use");
  EXPECT_TRUE(exists(path));
}

TEST(UnixListener, LeavesAFileThatIsNoSocket) {
  test::TempDir dir;
  const std::string path = dir.at("a.sock");
  { Fd file(::open(path.c_str(), O_CREAT | O_WRONLY, 0600)); }
  EXPECT_ERROR(Listener::open(unix_at(path)), path + " exists and is no socket");
  EXPECT_TRUE(exists(path));
}

TEST(UnixListener, NamesAPathThatIsTooLong) {
  const std::string path = "/tmp/" + std::string(200, 'x');
  EXPECT_ERROR(Listener::open(unix_at(path)), "longer than 107 bytes");
  EXPECT_ERROR(connect_to(unix_at(path), seconds(1), seconds(1)), "longer than 107 bytes");
}

TEST(UnixListener, NamesAPathThatCannotBe) {
  EXPECT_ERROR(Listener::open(unix_at("/nonexistent/a.sock")), "/nonexistent/a.sock");
  EXPECT_ERROR(connect_to(unix_at("/nonexistent/a.sock"), seconds(1), seconds(1)), "/nonexistent/a.sock");
}

TEST(TcpListener, Port0IsReplacedByTheOneItGot) {
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener) << listener.error().message;
  const Endpoint where = listener->where();
  EXPECT_NE(where.port, 0);
  EXPECT_EQ(where.host, "127.0.0.1");
  auto client = connect_to(where, seconds(10), seconds(30));
  ASSERT_TRUE(client) << client.error().message;
  auto server = listener->accept(seconds(30));
  ASSERT_TRUE(server);
  EXPECT_EQ(peer_address(client->get()), where.str());
  EXPECT_EQ(peer_address(server->get()).find("127.0.0.1:"), 0u);
  int on = 0;
  socklen_t length = sizeof on;
  for (const Fd* fd : {&*client, &*server}) {
    ASSERT_EQ(getsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, &length), 0);
    EXPECT_NE(on, 0);
    ASSERT_EQ(getsockopt(fd->get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &on, &length), 0);
    EXPECT_EQ(on, 30000);
    EXPECT_EQ(::fcntl(fd->get(), F_GETFL) & O_NONBLOCK, 0) << "sessions use blocking sockets";
    EXPECT_NE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST(TcpListener, ListensOnEachHost) {
  auto listener = Listener::open({tcp("127.0.0.1", 0), tcp("127.0.0.2", 0)});
  ASSERT_TRUE(listener) << listener.error().message;
  const auto& everywhere = listener->everywhere();
  ASSERT_EQ(everywhere.size(), 2u);
  EXPECT_EQ(listener->str(), everywhere[0].str() + ", " + everywhere[1].str());
  for (const Endpoint& where : everywhere) {
    auto client = connect_to(where, seconds(10), seconds(30));
    ASSERT_TRUE(client) << client.error().message;
    auto server = listener->accept(seconds(30));
    ASSERT_TRUE(server);
    EXPECT_EQ(numeric_address(server->get(), End::here), where.host);
  }
}

TEST(TcpListener, ListensOnAllAddressesOfAName) {
  auto listener = Listener::open(tcp("localhost", 0));
  ASSERT_TRUE(listener) << listener.error().message;
  const auto all = addresses_of("localhost");
  ASSERT_TRUE(all);
  for (const std::string& address : *all) {
    if (!Listener::open(tcp(address, 0))) continue;  // this host has no IPv6
    EXPECT_TRUE(connect_to(tcp(address, listener->where().port), seconds(10), seconds(30))) << address;
    EXPECT_NE(listener->str().find(address), std::string::npos) << listener->str();
  }
}

TEST(TcpListener, StopEndsAllOfThem) {
  test::Watchdog watchdog("accept() after stop()");
  auto listener = Listener::open({tcp("127.0.0.1", 0), tcp("127.0.0.2", 0)});
  ASSERT_TRUE(listener);
  std::thread accepting([&] { EXPECT_FALSE(listener->accept(seconds(30))); });
  listener->stop();
  accepting.join();
  for (const Endpoint& where : listener->everywhere())
    EXPECT_ERROR(connect_to(where, seconds(10), seconds(30)), "refused");
}

TEST(TcpListener, APortInUseIsRefusedByName) {
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  EXPECT_ERROR(Listener::open(listener->where()), "cannot listen on " + listener->where().str());
}

TEST(TcpListener, StopEndsAccept) {
  test::Watchdog watchdog("accept() after stop()");
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  std::thread accepting([&] { EXPECT_ERROR(listener->accept(seconds(30)), "no longer listening on"); });
  listener->stop();
  accepting.join();
  EXPECT_FALSE(listener->accept(seconds(30))) << "for ever";
}

TEST(UnixListener, StopEndsAccept) {
  test::Watchdog watchdog("accept() after stop()");
  test::TempDir dir;
  auto listener = Listener::open(unix_at(dir.at("a.sock")));
  ASSERT_TRUE(listener);
  std::thread accepting([&] { EXPECT_ERROR(listener->accept(seconds(30)), "no longer listening on"); });
  listener->stop();
  accepting.join();
}

TEST(TcpListener, AcceptWaitingDoesNotWait) {
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  const auto comes = [&] {
    auto connection = listener->accept_waiting();
    return connection && *connection;
  };
  EXPECT_FALSE(comes());
  auto client = connect_to(listener->where(), seconds(10), seconds(30));
  ASSERT_TRUE(client);
  EXPECT_TRUE(comes());
  EXPECT_FALSE(comes());
}

constexpr const char* kNoMore = "Too many open files (ulimit -n, LimitNOFILE)";

TEST(TcpListener, NoRoomForACallerIsAnErrorAndHeIsNotLost) {
  test::Watchdog watchdog("accept() without a descriptor");
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  {
    const test::FewDescriptors none(0);
    auto nobody = listener->accept_waiting();
    EXPECT_TRUE(nobody && !*nobody) << "nobody calls, and nobody is missed";
  }
  auto client = connect_to(listener->where(), seconds(10), seconds(30));
  ASSERT_TRUE(client);
  {
    const test::FewDescriptors none(0);
    EXPECT_ERROR(listener->accept(seconds(30)), kNoMore);
    EXPECT_ERROR(listener->accept_waiting(), kNoMore);
    EXPECT_FALSE(listener->stopped());
    listener->back_off();
  }
  auto server = listener->accept(seconds(30));
  EXPECT_TRUE(server && *server);
  listener->stop();
  EXPECT_TRUE(listener->stopped());
}

TEST(UnixListener, WithoutADescriptorNobodyCanTellWhetherAPathIsInUse) {
  test::TempDir dir;
  auto first = Listener::open(unix_at(dir.at("a.sock")));
  ASSERT_TRUE(first);
  const test::FewDescriptors none(0);
  EXPECT_ERROR(Listener::open(unix_at(dir.at("a.sock"))), kNoMore);
  EXPECT_TRUE(exists(dir.at("a.sock")));
}

TEST(HandedOver, AConnectionThatDoesNotFitIsAnError) {
  test::Watchdog watchdog("a connection that is handed over");
  auto [ours, theirs] = test::socket_pair();
  auto listener = Listener::handed_over(std::move(ours));
  const auto connection = test::socket_pair();
  ASSERT_TRUE(hand_over(theirs.get(), connection.first));
  {
    const test::FewDescriptors none(0);
    EXPECT_ERROR(listener.accept(seconds(30)), kNoMore);
    EXPECT_FALSE(listener.stopped());
  }
  ASSERT_TRUE(hand_over(theirs.get(), connection.first));
  auto taken = listener.accept(seconds(30));
  EXPECT_TRUE(taken && *taken);
  theirs.reset();
  EXPECT_ERROR(listener.accept(seconds(30)), "no longer listening");
  EXPECT_TRUE(listener.stopped());
}

TEST(ConnectTo, SaysWhatThereIsTooLittleOf) {
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  const Event cancel;
  for (size_t more = 0; more < 2; ++more) {  // looking up takes one, and so does the connection
    const test::FewDescriptors few(more);
    auto made = connect_to(listener->where(), seconds(10), seconds(30), &cancel);
    if (!made) EXPECT_ERROR(made, kNoMore);
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
  EXPECT_ERROR(one, "has taken nobody for 0.05 s");
}

TEST(ConnectTo, NamesTheAddressThatNobodyListensOn) {
  Endpoint where;
  {
    auto listener = Listener::open(tcp("127.0.0.1", 0));
    ASSERT_TRUE(listener);
    where = listener->where();
  }
  EXPECT_ERROR(connect_to(where, seconds(10), seconds(30)), "cannot connect to " + where.str());
}

TEST(ConnectTo, NamesAHostThatDoesNotExist) {
  EXPECT_ERROR(connect_to(tcp("256.1.1.1", 1), seconds(10), seconds(30)), "256.1.1.1");
}

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

TEST(Reason, IsWhatTheSystemCallsIt) {
  EXPECT_EQ(reason(ECONNREFUSED), "Connection refused");
}

TEST(Reason, NamesTheLimit) {
  EXPECT_EQ(reason(EMFILE), kNoMore);
  EXPECT_EQ(reason(ENFILE), "Too many open files in system (sysctl fs.file-max)");
}

TEST(Reason, NamesTheTimeThatHasRunOut) {
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
