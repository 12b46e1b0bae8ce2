#include "transport/socket/listener.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/socket/endpoints.h"
#include "tests/transport/support.h"
#include "transport/socket/addresses.h"
#include "transport/socket/connect.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

using std::chrono::seconds;
using test::kNoMore;
using test::tcp;
using test::unix_at;

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
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
  EXPECT_ERROR(Listener::open(unix_at(path)), path, "in use");
  EXPECT_TRUE(exists(path));
  EXPECT_TRUE(connect_to(unix_at(path), seconds(1), seconds(1)));
}

// A listener with a full queue is still a listener, and the check must not wait for it.
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
  EXPECT_ERROR(Listener::open(unix_at(path)), path, "in use");
  EXPECT_TRUE(exists(path));
}

TEST(UnixListener, LeavesAFileThatIsNoSocket) {
  test::TempDir dir;
  const std::string path = dir.at("a.sock");
  { Fd file(::open(path.c_str(), O_CREAT | O_WRONLY, 0600)); }
  EXPECT_ERROR(Listener::open(unix_at(path)), path, "not a socket");
  EXPECT_TRUE(exists(path));
}

TEST(UnixListener, NamesAPathThatIsTooLong) {
  const std::string path = "/tmp/" + std::string(200, 'x');
  EXPECT_ERROR(Listener::open(unix_at(path)), path, "107 bytes");
  EXPECT_ERROR(connect_to(unix_at(path), seconds(1), seconds(1)), path, "107 bytes");
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
  EXPECT_ERROR(Listener::open(listener->where()), "listen on", listener->where().str(), "in use");
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

TEST(TcpListener, NoRoomForACallerIsAnErrorAndHeIsNotLost) {
  test::Watchdog watchdog("accept() without a descriptor");
  auto listener = Listener::open(tcp("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  {
    const test::FewDescriptors none(0);
    auto nobody = listener->accept_waiting();
    EXPECT_TRUE(nobody && !*nobody) << "nobody has connected, so no descriptor is needed";
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

TEST(HandOver, DoesNotWaitForAProcessThatTakesNothing) {
  test::Watchdog watchdog("hand_over()");
  auto [here, there] = test::socket_pair();
  const Fd connection(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Result<> handed;
  while (handed) handed = hand_over(here.get(), connection);
  EXPECT_ERROR(handed, "takes no more connections");
}

}  // namespace
}  // namespace wherry
