#include "qemu-glue/daemon/bounds.h"

#include <fstream>
#include <regex>

#include "tests/transport/wire/wire_page.h"
#include "transport/wire/bounds.h"
#include "transport/wire/channel.h"
#include "transport/wire/frame.h"

namespace wherry::daemon {
namespace {

#define BOUND(name) \
  { #name, static_cast < uint64_t>(name) }

const std::map<std::string, uint64_t> kBounds = {{"kFirstFramePatience", kFirstFramePatience.count()},
                                                 BOUND(kFirstFrameBytes),
                                                 BOUND(kUnheardOfOne),
                                                 BOUND(kUnheardOfAll),
                                                 BOUND(kServedOfOne),
                                                 BOUND(kServedOfAll),
                                                 BOUND(kAnnouncedOfOne),
                                                 BOUND(kAnnouncedOfAll),
                                                 BOUND(kArrivalsOfOne),
                                                 BOUND(kArrivalsOfAll),
                                                 BOUND(kKeptDescriptors),
                                                 BOUND(kRefusalLines),
                                                 BOUND(kMostErrands),
                                                 BOUND(kMostGatewayClients),
                                                 BOUND(kMostDepartures),
                                                 BOUND(kMostCallers),
                                                 BOUND(kMostLanes),
                                                 BOUND(kMaxChannels),
                                                 BOUND(kMaxBlocks),
                                                 BOUND(kMaxTable),
                                                 BOUND(kMaxBody),
                                                 BOUND(kMostHeld),
                                                 BOUND(kMostCopies)};

#undef BOUND

TEST(Bounds, ThePageHasTheNumbersOfTheCode) {
  const test::Page page("limits.md");
  std::map<std::string, uint64_t> on_page;
  for (const char* section :
       {"At wherryd's port", "For the users of a host", "In the process of one migration"}) {
    for (const test::Row& row : page.table(section, "limit")) {
      ASSERT_EQ(row.size(), 4u) << row[0];
      on_page[row[0]] = std::stoull(row[1]);
      EXPECT_NE(row[2], "") << row[0];
      EXPECT_NE(row[3], "") << row[0];
    }
  }
  EXPECT_EQ(on_page, kBounds);
}

TEST(Bounds, AllOfTheHeadersAreOnThePage) {
  for (const char* header : {"/qemu-glue/daemon/bounds.h", "/transport/wire/bounds.h"}) {
    std::ifstream file(std::string(WHERRY_DOCS "/..") + header);
    ASSERT_TRUE(file) << header;
    const std::regex constant("inline constexpr .* (k[A-Za-z]+)( = |\\{).*");
    size_t found = 0;
    for (std::string line; std::getline(file, line);) {
      std::smatch named;
      if (!std::regex_match(line, named, constant)) continue;
      ++found;
      EXPECT_TRUE(kBounds.contains(named[1])) << named[1] << " of " << header;
    }
    EXPECT_GT(found, 5u) << header;
  }
}

}  // namespace
}  // namespace wherry::daemon
