#include "qemu-glue/monitor/command_line.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/base/expect_error.h"

namespace wherry {
namespace {

using namespace std::string_view_literals;

constexpr auto kArguments =
    "qemu\0-name\0guest=uuid,debug-threads=on\0-uuid\0one\0--uuid\0two\0-S\0uuid\0three\0"sv;

TEST(CommandLine, HasWhatFollowsAName) {
  EXPECT_EQ(argument_of(kArguments, "uuid"), "one");
  EXPECT_EQ(argument_of(kArguments, "uuid", "t"), "two") << "the first that starts with it";
  EXPECT_EQ(argument_of(kArguments, "name"), "guest=uuid,debug-threads=on");
}

TEST(CommandLine, HasNothingElse) {
  EXPECT_EQ(argument_of(kArguments, "uuid", "three"), "") << "a name has a dash";
  EXPECT_EQ(argument_of(kArguments, "uui"), "");
  EXPECT_EQ(argument_of("", "uuid"), "");
  EXPECT_EQ(argument_of("qemu\0-uuid"sv, "uuid"), "") << "nothing follows";
  EXPECT_EQ(argument_of("qemu\0-uuid\0cut"sv, "uuid"), "cut");
}

TEST(CommandLine, IsReadFromTheProcess) {
  auto ours = read_command_line(getpid());
  ASSERT_TRUE(ours) << ours.error().message;
  EXPECT_NE(ours->find("unit_tests"), std::string::npos);
  EXPECT_ERROR(read_command_line(-1), "process -1");
}

// Reading the file fails if the process ends after the file was opened.
TEST(CommandLine, OfAProcessThatEndsMeanwhileIsAnError) {
  std::atomic<pid_t> process = ::getpid();
  std::atomic<bool> over = false;
  std::thread reading([&] {
    while (!over) (void)read_command_line(process);
  });
  for (int i = 0; i < 1000; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    process = child;
    ::waitpid(child, nullptr, 0);
  }
  over = true;
  reading.join();
  EXPECT_FALSE(read_command_line(process));
}

}  // namespace
}  // namespace wherry
