#include "qemu-glue/convergence/qemu_mark.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/qemu-glue/convergence/idler.h"
#include "tests/transport/support.h"

namespace wherry::convergence {
namespace {

class QemuMarkTest : public testing::Test {
 protected:
  // What a process that is dead afterwards leaves.
  void leave(pid_t qemu) {
    const pid_t owner = ::fork();
    if (owner == 0) {
      QemuMark mark(qemu, {{"downtime-limit", 300}}, where_);
      mark.set_throttle("dirty-limit");
      ::kill(::getpid(), SIGKILL);
    }
    ASSERT_EQ(::waitpid(owner, nullptr, 0), owner);
  }
  bool is_empty() const { return std::filesystem::is_empty(where_); }

  const test::TempDir directory_;
  const std::filesystem::path where_ = directory_.at("marks");
};

TEST_F(QemuMarkTest, NobodyMissesOneWhoseOwnerLives) {
  {
    const QemuMark mark(::getpid(), {}, where_);
    EXPECT_FALSE(is_empty());
    EXPECT_TRUE(QemuMark::abandoned(where_).empty());
  }
  EXPECT_TRUE(is_empty());
}

TEST_F(QemuMarkTest, WhatAKilledOneLeftIsFound) {
  leave(::getpid());
  const auto left = QemuMark::abandoned(where_);
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].qemu, ::getpid());
  EXPECT_EQ(left[0].parameters, nlohmann::json({{"downtime-limit", 300}}));
  EXPECT_EQ(left[0].throttle, "dirty-limit");
  EXPECT_TRUE(std::filesystem::remove(left[0].file));
}

TEST_F(QemuMarkTest, WithItsQemuItGoes) {
  {
    const Idler qemu;
    leave(qemu.pid());
    EXPECT_EQ(QemuMark::abandoned(where_).size(), 1u);
  }
  EXPECT_TRUE(QemuMark::abandoned(where_).empty());
  EXPECT_TRUE(is_empty());
}

TEST_F(QemuMarkTest, WhatCannotBeLookedAtIsNotGone) {
  leave(::getpid());
  {
    const test::FewDescriptors one(1);  // for the directory
    EXPECT_TRUE(QemuMark::abandoned(where_).empty());
  }
  EXPECT_EQ(QemuMark::abandoned(where_).size(), 1u);
}

TEST_F(QemuMarkTest, AProcessThatHasTheNumberLaterIsAnother) {
  leave(::getpid());
  const auto left = QemuMark::abandoned(where_);
  ASSERT_EQ(left.size(), 1u);
  const std::string name = left[0].file.filename();
  std::filesystem::rename(left[0].file,
                          where_ / (name.substr(0, name.find('-')) + "-1" + name.substr(name.rfind('-'))));
  EXPECT_TRUE(QemuMark::abandoned(where_).empty());
}

TEST_F(QemuMarkTest, OfWhatIsNoMarkThereIsNothingToSetBack) {
  leave(::getpid());
  const auto file = QemuMark::abandoned(where_).at(0).file;
  for (const char* text : {"", "{", "[]", R"({"parameters": 7, "throttle": []})",
                           R"({"parameters": {"tls-creds": "x"}, "throttle": null})"}) {
    std::ofstream(file) << text;
    const auto left = QemuMark::abandoned(where_);
    ASSERT_EQ(left.size(), 1u) << text;
    EXPECT_TRUE(left[0].parameters.empty()) << text;
    EXPECT_EQ(left[0].throttle, "") << text;
  }
}

TEST_F(QemuMarkTest, OtherFilesStayAsTheyAre) {
  std::filesystem::create_directory(where_);
  for (const char* name : {"notes", "1-2", "1-2-3x", "-1-2-3", "0-0-0"}) std::ofstream(where_ / name) << "x";
  EXPECT_TRUE(QemuMark::abandoned(where_).empty());
  for (const char* name : {"notes", "1-2", "1-2-3x", "-1-2-3", "0-0-0"})
    EXPECT_TRUE(std::filesystem::exists(where_ / name)) << name;
}

TEST_F(QemuMarkTest, WithoutADirectoryThereIsNone) {
  { const QemuMark mark(::getpid(), {}, ""); }
  { const QemuMark mark(::getpid(), {}, directory_.at("no/such")); }
  EXPECT_TRUE(QemuMark::abandoned("").empty());
  EXPECT_TRUE(QemuMark::abandoned(directory_.at("no/such")).empty());
}

}  // namespace
}  // namespace wherry::convergence
