#include "base/available_memory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <string>

#include "tests/transport/support.h"

namespace wherry {
namespace {

namespace fs = std::filesystem;

// A machine with 800 MiB available, and this process in the group /a/b.
class AvailableMemory : public testing::Test {
 protected:
  AvailableMemory() {
    write("proc/meminfo", "MemTotal:       16384000 kB\nMemFree:  1 kB\nMemAvailable:     819200 kB\n");
    write("proc/self/cgroup", "4:memory:/x\n0::/a/b\n");
  }
  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  void limit(const std::string& group, const std::string& file, const std::string& text) const {
    write("sys/fs/cgroup/" + group + "/memory." + file, text + "\n");
  }
  uint64_t mebibytes() const { return available_memory(root_) >> 20; }

  const test::TempDir directory_;
  const fs::path root_ = directory_.at("");
};

TEST_F(AvailableMemory, IsTheMachines) {
  EXPECT_EQ(mebibytes(), 800u);
  limit("a/b", "max", "max");
  limit("a/b", "high", "max");
  limit("a/b", "current", "104857600");
  EXPECT_EQ(mebibytes(), 800u);
}

TEST_F(AvailableMemory, IsWhatTheGroupHasLeft) {
  limit("a/b", "max", std::to_string(300 << 20));
  EXPECT_EQ(mebibytes(), 800u) << "it is not known what the group uses";
  limit("a/b", "current", std::to_string(100 << 20));
  EXPECT_EQ(mebibytes(), 200u);
  limit("a/b", "high", std::to_string(250 << 20));
  EXPECT_EQ(mebibytes(), 150u);
  limit("a/b", "stat", fmt::format("anon 5\ninactive_file {}\nactive_file 7\n", 60 << 20));
  EXPECT_EQ(mebibytes(), 210u);
  limit("a/b", "current", std::to_string(400 << 20));
  EXPECT_EQ(mebibytes(), 0u) << "it is over its limit";
}

TEST_F(AvailableMemory, IsWhatTheGroupsAboveHaveLeft) {
  limit("a/b", "max", std::to_string(300 << 20));
  limit("a/b", "current", std::to_string(100 << 20));
  limit("a", "max", std::to_string(500 << 20));
  limit("a", "current", std::to_string(400 << 20));
  EXPECT_EQ(mebibytes(), 100u);
  // In a container, the root of what is visible is a group with a limit.
  limit("", "max", std::to_string(490 << 20));
  limit("", "current", std::to_string(440 << 20));
  EXPECT_EQ(mebibytes(), 50u);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(mebibytes(), 50u);
  write("proc/self/cgroup", "4:memory:/x\n");
  EXPECT_EQ(mebibytes(), 800u);
}

TEST_F(AvailableMemory, IsNotKnownWhereNothingSaysIt) {
  EXPECT_EQ(available_memory(root_ / "nothing"), std::numeric_limits<uint64_t>::max());
}

TEST(AvailableMemoryHere, IsSomeOfTheMachines) {
  EXPECT_GT(available_memory(), 0u);
  EXPECT_LT(available_memory(), uint64_t{1} << 50);
}

}  // namespace
}  // namespace wherry
