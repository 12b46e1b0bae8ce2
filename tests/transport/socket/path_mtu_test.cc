#include "transport/socket/path_mtu.h"

#include <thread>
#include <vector>

#include "tests/transport/socket/narrow_socket.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

using std::chrono::seconds;

void send_bytes(const Fd& to, size_t bytes) {
  ASSERT_TRUE(send_all(to.get(), std::vector<uint8_t>(bytes)));
}

TEST(PathMtu, LargePacketsThatVanishAreSeen) {
  const test::NarrowSocket narrow = test::narrow_socket(1200);
  const auto connection = connect_to(narrow.where, seconds(1), seconds(2));
  ASSERT_TRUE(connection) << connection.error().message;
  const PacketSize packet = packet_size(connection->get());
  EXPECT_GT(packet.payload, 1200);
  EXPECT_LE(packet.payload, 1460);
  send_bytes(*connection, 100);
  send_bytes(*connection, packet.payload);
  const auto until = std::chrono::steady_clock::now() + seconds(20);
  while (!lost_packets(connection->get()) && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(lost_packets(connection->get()), packet.whole);

  // It is still known after the kernel has given the connection up.
  char byte = 0;
  EXPECT_EQ(::recv(connection->get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_EQ(lost_packets(connection->get()), packet.whole);
}

TEST(PathMtu, NothingIsLostWhereAllArrives) {
  auto listener = Listener::open({.path = {}, .host = "127.0.0.1", .port = 0});
  ASSERT_TRUE(listener);
  const auto connection = connect_to(listener->where(), seconds(1), seconds(2));
  ASSERT_TRUE(connection);
  EXPECT_FALSE(lost_packets(connection->get())) << "nothing was sent";
  auto other = listener->accept(seconds(2));
  ASSERT_TRUE(other);
  std::vector<uint8_t> got(1 << 20);
  std::thread reads([&] { EXPECT_TRUE(recv_all(other->get(), got)); });
  send_bytes(*connection, got.size());
  reads.join();
  EXPECT_FALSE(lost_packets(connection->get()));
  *other = Fd();
  EXPECT_FALSE(lost_packets(connection->get()));
}

TEST(PathMtu, NothingIsKnownOfOtherSockets) {
  const Fd unix_socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(packet_size(unix_socket.get()).whole, 0);
  EXPECT_FALSE(lost_packets(unix_socket.get()));
}

}  // namespace
}  // namespace wherry
