#include "qemu-glue/daemon/serve_callers.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include "tests/transport/support.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"

namespace wherry::daemon {
namespace {

TEST(ServeCallers, WhoComesWhenThereIsNoRoomIsServedWhenThereIs) {
  test::Watchdog watchdog("a caller");
  auto listener = Listener::open({.path = {}, .host = "127.0.0.1", .port = 0});
  ASSERT_TRUE(listener);
  Connections connections("test");
  std::thread serving([&] {
    serve_callers(*listener, test::kForever, connections,
                  [](const Fd& fd) { (void)send_all(fd.get(), test::bytes_of("welcome")); });
  });
  auto caller = connect_to(listener->where(), test::kForever, test::kForever);
  ASSERT_TRUE(caller);
  EXPECT_EQ(test::read_all(caller->get()), "welcome");
  const Fd waits(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  {
    const test::FewDescriptors none(0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(listener->where().port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(waits.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    pollfd answer{waits.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&answer, 1, 300), 0) << "no descriptor is left";
  }
  EXPECT_EQ(test::read_all(waits.get()), "welcome");
  listener->stop();
  serving.join();
}

}  // namespace
}  // namespace wherry::daemon
