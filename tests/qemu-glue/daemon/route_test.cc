#include "qemu-glue/daemon/route.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/base/expect_error.h"

namespace wherry::daemon {
namespace {

TEST(Route, IsReadFromItsText) {
  for (const char* text :
       {"hostb/1", "host-b.example.org/00ff", "192.0.2.7/A9", "fe80::1/x", "::1/x", "h_1/abc"}) {
    auto route = Route::parse(text);
    ASSERT_TRUE(route) << route.error().message;
    EXPECT_EQ(route->text(), text);
  }
  EXPECT_EQ(Route::parse("hostb/17")->path("/run/wherry"), "/run/wherry/hostb/17/ram.sock");
}

TEST(Route, BothOfItsPathsHaveRoomUpToTheLastByte) {
  // After the directory come "/hostb/17" and "/ram.sock", which is as long as "/nbd.sock".
  const auto route = Route::parse("hostb/17");
  ASSERT_TRUE(route);
  const std::string fits = "/" + std::string(107 - 18 - 1, 'd');
  EXPECT_EQ(route->path(fits).size(), route->disks_path(fits).size());
  EXPECT_TRUE(route->check_paths(fits));
  for (size_t more = 1; more <= 5; ++more) {
    EXPECT_ERROR(route->check_paths(fits + std::string(more, 'd')), fmt::format("{} bytes", 107 + more),
                 "107 are allowed");
  }
}

TEST(Route, NoTextLeadsOutOfTheRuntimeDirectory) {
  for (const std::string text :
       {"", "/", "hostb", "hostb/", "/1", "../1", "./1", ".hidden/1", "hostb/..", "hostb/../1", "hostb/a/b",
        "hostb/a.sock", "host b/1", "hostb/1 ", "host\nb/1", "-o/1"}) {
    EXPECT_FALSE(Route::parse(text)) << text;
  }
  EXPECT_FALSE(Route::parse(std::string("host\0b/1", 8)));
  EXPECT_FALSE(Route::parse(fmt::format("{:h>65}/1", "")));
  EXPECT_FALSE(Route::parse(fmt::format("hostb/{:1>33}", "")));
}

TEST(Route, EachThatIsMadeIsAnother) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    auto route = Route::make("hostb");
    ASSERT_TRUE(route);
    EXPECT_TRUE(Route::parse(route->text()));
    EXPECT_TRUE(ids.insert(route->id).second);
  }
  EXPECT_FALSE(Route::make("../etc"));
  EXPECT_EQ(Route::make("fe80::1%eth0")->host, "fe80::1") << "the path must be the same on the other host";
}

}  // namespace
}  // namespace wherry::daemon
