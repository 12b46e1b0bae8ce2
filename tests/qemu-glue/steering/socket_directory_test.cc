#include "qemu-glue/steering/socket_directory.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

namespace fs = std::filesystem;

// TMPDIR, for as long as this lives.
class TemporaryDirectories {
 public:
  explicit TemporaryDirectories(const std::string& at) {
    if (const char* now = ::getenv("TMPDIR")) before_ = now;
    ::setenv("TMPDIR", at.c_str(), 1);
  }
  ~TemporaryDirectories() {
    if (before_.empty()) {
      ::unsetenv("TMPDIR");
    } else {
      ::setenv("TMPDIR", before_.c_str(), 1);
    }
  }

 private:
  std::string before_;
};

std::string folder_of(const std::string& path) {
  return fs::path(path).parent_path();
}

TEST(SocketDirectory, IsThereAsLongAsItsOwner) {
  const test::TempDir scratch;
  const TemporaryDirectories here(scratch.at(""));
  std::string kept;
  {
    auto made = SocketDirectory::make(::geteuid(), ::geteuid());
    ASSERT_TRUE(made) << made.error().message;
    const SocketDirectory directory = std::move(*made);
    kept = folder_of(directory.outgoing());
    EXPECT_TRUE(kept.starts_with(scratch.at(""))) << kept;
    EXPECT_TRUE(fs::is_directory(folder_of(directory.incoming())));
    EXPECT_EQ(fs::status(kept).permissions() & (fs::perms::group_all | fs::perms::others_all),
              fs::perms::none);
  }
  EXPECT_FALSE(fs::exists(kept));
}

// A socket's path has at most 107 bytes.
TEST(SocketDirectory, BothPathsAreShortEnoughForASocket) {
  for (size_t length = 70; length < 110; ++length) {
    const test::TempDir scratch;
    const std::string name = scratch.at("");
    const std::string deep = name + std::string(length - name.size(), 'd');
    fs::create_directory(deep);
    const TemporaryDirectories here(deep);
    const auto made = SocketDirectory::make(::geteuid(), ::geteuid());
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_LE(made->outgoing().size(), 107u);
    EXPECT_LE(made->incoming().size(), 107u) << "TMPDIR has " << length << " bytes";
  }
}

TEST(SocketDirectory, OnlyRootMakesOneForOthers) {
  constexpr uid_t kSource = 54321;
  constexpr uid_t kDestination = 54322;
  const auto made = SocketDirectory::make(kSource, kDestination);
  if (::geteuid() != 0) {
    EXPECT_ERROR(made, "run wherry as root");
    return;
  }
  ASSERT_TRUE(made) << made.error().message;
  struct stat incoming {};
  ASSERT_EQ(::stat(folder_of(made->incoming()).c_str(), &incoming), 0);
  EXPECT_EQ(incoming.st_uid, kDestination);
  EXPECT_EQ(incoming.st_mode & 0777, 0700u);
  struct stat all {};
  ASSERT_EQ(::stat(folder_of(made->outgoing()).c_str(), &all), 0);
  EXPECT_EQ(all.st_mode & 0777, 0711u) << "each reaches its own, and lists nothing";
}

}  // namespace
}  // namespace wherry
