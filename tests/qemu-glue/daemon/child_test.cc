#include "qemu-glue/daemon/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"
#include "transport/socket/socket.h"

namespace wherry::daemon {
namespace {

constexpr std::chrono::seconds kLong{60};

std::unique_ptr<Child> shell(const std::string& script) {
  auto child = Child::spawn({"/bin/sh", "-c", script});
  EXPECT_TRUE(child);
  return child ? std::move(*child) : nullptr;
}

TEST(Child, SaysItsLinesAndHowItEnded) {
  test::Watchdog watchdog("a child");
  auto child = shell("echo one; printf 'two\\nthr'; echo ee; exit 7");
  std::string line;
  for (const char* expected : {"one", "two", "three"}) {
    ASSERT_EQ(child->read_line(line, kLong), Child::Said::line);
    EXPECT_EQ(line, expected);
  }
  EXPECT_EQ(child->read_line(line, kLong), Child::Said::end);
  EXPECT_EQ(child->wait(), 7);
  EXPECT_EQ(child->wait(), 7) << "every time";
}

TEST(Child, NothingSaidIsNoEnd) {
  test::Watchdog watchdog("a child");
  auto child = shell("read line; exit 3");  // from /dev/null
  std::string line;
  EXPECT_EQ(child->wait(), 3);
  auto waits = shell("exec sleep 1000");
  EXPECT_EQ(waits->read_line(line, std::chrono::milliseconds(1)), Child::Said::nothing);
  waits->stop();
  EXPECT_EQ(waits->wait(), 128 + SIGTERM);
  waits->stop();  // no effect on a process that has ended
}

TEST(Child, HasOneEndOfASocket) {
  test::Watchdog watchdog("a child");
  auto child = shell("read line <&3; echo \"heard $line\"");
  ASSERT_TRUE(send_all(child->socket(), test::bytes_of("this\n")));
  std::string line;
  ASSERT_EQ(child->read_line(line, kLong), Child::Said::line);
  EXPECT_EQ(line, "heard this");
}

TEST(Child, DoesNotInheritWhatIsAnothers) {
  test::Watchdog watchdog("a child");
  auto other = shell("exec sleep 1000");
  const auto link = std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", other->socket()));
  auto child = shell("ls -l /proc/self/fd");
  std::string line;
  bool its_own = false;
  while (child->read_line(line, kLong) == Child::Said::line) {
    its_own = its_own || line.find(" 3 -> socket:") != std::string::npos;
    EXPECT_EQ(line.find(link.string()), std::string::npos) << line;
  }
  EXPECT_TRUE(its_own);
}

TEST(Child, HasNoDescriptorButTheNamedOnes) {
  test::Watchdog watchdog("a child");
  const Fd left_open(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
  auto child = shell("for fd in /proc/$$/fd/*; do echo ${fd##*/}; done");
  std::string line;
  std::vector<std::string> fds;
  while (child->read_line(line, kLong) == Child::Said::line) fds.push_back(line);
  std::sort(fds.begin(), fds.end());
  // The shell itself has the directory open while it lists it.
  if (fds.size() == 5 && fds.back() == "4") fds.pop_back();
  EXPECT_EQ(fds, (std::vector<std::string>{"0", "1", "2", "3"}));
}

TEST(Child, EndsWithItsOwnerUnlessItIsLetGo) {
  test::Watchdog watchdog("a child");
  const auto gone = [](pid_t pid) { return ::kill(pid, 0) != 0; };
  auto child = shell("exec sleep 1000");
  const pid_t pid = child->pid();
  child.reset();
  EXPECT_TRUE(gone(pid));
  auto free = shell("exec sleep 1000");
  const pid_t goes_on = free->pid();
  free->let_go();
  free.reset();
  EXPECT_FALSE(gone(goes_on));
  ::kill(goes_on, SIGKILL);
}

// In a PID namespace of its own, because a signal to pid -1, a child that was not started, would go to every
// process.
TEST(Child, NoDescriptorForOneIsAnErrorAndHarmsNobody) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto in_its_world = [] {
    const pid_t bystander = ::fork();
    if (bystander == 0) {
      ::pause();
      ::_exit(0);
    }
    bool named = true;
    bool started = false;
    for (size_t more = 0; !started && more < 20; ++more) {
      const test::FewDescriptors few(more);
      auto child = Child::spawn({"/bin/sleep", "1000"});
      started = child.has_value();
      if (!started && !test::fails_with(child, "Too many open files")) named = false;
    }
    return named && started && ::waitpid(bystander, nullptr, WNOHANG) == 0;
  };
  EXPECT_TRUE(test::in_a_child([&] {
    return ::unshare(CLONE_NEWPID) == 0 && test::in_a_child([&] { return test::in_a_child(in_its_world); });
  }));
}

TEST(Child, AProgramThatIsNotThereIsAnError) {
  EXPECT_ERROR(Child::spawn({"/nonexistent/wherry", "send"}), "/nonexistent/wherry", "No such file");
}

}  // namespace
}  // namespace wherry::daemon
