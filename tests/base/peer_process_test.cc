#include "base/peer_process.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

class Other {
 public:
  Other() : number_(::fork()) {
    if (number_ != 0) return;
    ::pause();
    ::_exit(0);
  }
  ~Other() { end(); }
  pid_t number() const { return number_; }
  void end() {
    if (number_ <= 0) return;
    ::kill(number_, SIGKILL);
    ::waitpid(number_, nullptr, 0);
    number_ = -1;
  }

 private:
  pid_t number_;
};

TEST(PeerProcess, IsWhoIsAtTheOtherEnd) {
  const auto [here, there] = test::socket_pair();
  auto peer = PeerProcess::of(here.get(), ticks_now());
  ASSERT_TRUE(peer) << peer.error().message;
  EXPECT_EQ(peer->number(), ::getpid());
  EXPECT_FALSE(peer->has_ended());
}

TEST(PeerProcess, IsNotToldOverTcp) {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(socket);
  EXPECT_FALSE(PeerProcess::of(socket.get(), ticks_now()));
}

TEST(PeerProcess, ItsNumberIsItsOwnUntilItEnds) {
  Other other;
  ASSERT_GT(other.number(), 0);
  auto process = PeerProcess::numbered(other.number(), ticks_now());
  ASSERT_TRUE(process) << process.error().message;
  EXPECT_FALSE(process->has_ended());
  other.end();
  EXPECT_TRUE(process->has_ended());
}

TEST(PeerProcess, OneThatHasEndedIsNotFound) {
  Other other;
  const pid_t number = other.number();
  other.end();
  EXPECT_FALSE(PeerProcess::numbered(number, ticks_now()));
}

TEST(PeerProcess, OneThatBeganAfterTheConnectionHasOnlyTheNumber) {
  const uint64_t start = start_of(::getpid());
  ASSERT_GT(start, 0u);
  EXPECT_TRUE(PeerProcess::numbered(::getpid(), start));
  EXPECT_ERROR(PeerProcess::numbered(::getpid(), start - 1), std::to_string(::getpid()), "another");
}

TEST(PeerProcess, TheClockIsThatOfTheStarts) {
  const uint64_t before = ticks_now();
  const Other other;
  const uint64_t start = start_of(other.number());
  EXPECT_LE(before, start);
  EXPECT_LE(start, ticks_now());
  EXPECT_EQ(start_of(-1), 0u);
}

}  // namespace
}  // namespace wherry
