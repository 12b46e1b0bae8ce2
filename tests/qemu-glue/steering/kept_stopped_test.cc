#include "qemu-glue/steering/kept_stopped.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/base/expect_error.h"

namespace wherry {
namespace {

// A QEMU that has one status after the other, and then the last.
class Statuses : public Monitor {
 public:
  explicit Statuses(std::vector<std::string> statuses) : statuses_(std::move(statuses)) {}
  Result<nlohmann::json> execute(std::string_view command, nlohmann::json,
                                 std::chrono::milliseconds) override {
    EXPECT_EQ(command, "query-status");
    if (statuses_.empty()) return fail("QEMU has gone");
    return nlohmann::json{{"status", statuses_[std::min(asked_++, statuses_.size() - 1)]}};
  }

 private:
  const std::vector<std::string> statuses_;
  size_t asked_ = 0;
};

std::optional<std::string> kept(std::vector<std::string> statuses) {
  Statuses qemu(std::move(statuses));
  return kept_stopped(qemu);
}

TEST(KeptStopped, IsAGuestThatIsNotGoneOnWith) {
  const auto said = kept({"finish-migrate"});
  ASSERT_TRUE(said);
  EXPECT_ERROR(*said, "query-status");
}

TEST(KeptStopped, IsNoOtherGuest) {
  EXPECT_FALSE(kept({"running"}));
  EXPECT_FALSE(kept({"paused"}));
  EXPECT_FALSE(kept({"finish-migrate", "finish-migrate", "running"})) << "QEMU was about to";
  EXPECT_FALSE(kept({}));
}

}  // namespace
}  // namespace wherry
