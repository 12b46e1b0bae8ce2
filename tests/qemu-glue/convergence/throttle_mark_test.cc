#include "qemu-glue/convergence/throttle_mark.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/qemu-glue/convergence/idler.h"
#include "tests/transport/support.h"

namespace wherry::convergence {
namespace {

class ThrottleMarkTest : public testing::Test {
 protected:
  // What a process that is dead afterwards leaves.
  void leave(pid_t qemu) {
    const pid_t owner = ::fork();
    if (owner == 0) {
      const ThrottleMark mark(qemu, "dirty-limit", where_);
      ::kill(::getpid(), SIGKILL);
    }
    ASSERT_EQ(::waitpid(owner, nullptr, 0), owner);
  }
  bool is_empty() const { return std::filesystem::is_empty(where_); }

  const test::TempDir directory_;
  const std::filesystem::path where_ = directory_.at("marks");
};

TEST_F(ThrottleMarkTest, NobodyMissesOneWhoseOwnerLives) {
  {
    const ThrottleMark mark(::getpid(), "auto-converge", where_);
    EXPECT_FALSE(is_empty());
    EXPECT_TRUE(ThrottleMark::abandoned(where_).empty());
  }
  EXPECT_TRUE(is_empty());
}

TEST_F(ThrottleMarkTest, WhatAKilledOneLeftIsFound) {
  leave(::getpid());
  const auto left = ThrottleMark::abandoned(where_);
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].qemu, ::getpid());
  EXPECT_EQ(left[0].throttle, "dirty-limit");
  EXPECT_TRUE(std::filesystem::remove(left[0].file));
}

TEST_F(ThrottleMarkTest, WithItsQemuItGoes) {
  {
    const Idler qemu;
    leave(qemu.pid());
    EXPECT_EQ(ThrottleMark::abandoned(where_).size(), 1u);
  }
  EXPECT_TRUE(ThrottleMark::abandoned(where_).empty());
  EXPECT_TRUE(is_empty());
}

TEST_F(ThrottleMarkTest, AProcessThatHasTheNumberLaterIsAnother) {
  leave(::getpid());
  const auto left = ThrottleMark::abandoned(where_);
  ASSERT_EQ(left.size(), 1u);
  const std::string name = left[0].file.filename();
  std::filesystem::rename(left[0].file,
                          where_ / (name.substr(0, name.find('-')) + "-1" + name.substr(name.rfind('-'))));
  EXPECT_TRUE(ThrottleMark::abandoned(where_).empty());
}

TEST_F(ThrottleMarkTest, OtherFilesStayAsTheyAre) {
  std::filesystem::create_directory(where_);
  for (const char* name : {"notes", "1-2", "1-2-3x", "-1-2-3", "0-0-0"}) std::ofstream(where_ / name) << "x";
  EXPECT_TRUE(ThrottleMark::abandoned(where_).empty());
  for (const char* name : {"notes", "1-2", "1-2-3x", "-1-2-3", "0-0-0"})
    EXPECT_TRUE(std::filesystem::exists(where_ / name)) << name;
}

TEST_F(ThrottleMarkTest, WithoutADirectoryThereIsNone) {
  { const ThrottleMark mark(::getpid(), "auto-converge", ""); }
  { const ThrottleMark mark(::getpid(), "auto-converge", directory_.at("no/such")); }
  EXPECT_TRUE(ThrottleMark::abandoned("").empty());
  EXPECT_TRUE(ThrottleMark::abandoned(directory_.at("no/such")).empty());
}

}  // namespace
}  // namespace wherry::convergence
