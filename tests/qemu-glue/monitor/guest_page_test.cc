#include "qemu-glue/monitor/guest_page.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace wherry::qemu {
namespace {

using nlohmann::json;

// A QEMU that answers only query-target.
class TargetMonitor final : public Monitor {
 public:
  explicit TargetMonitor(Result<json> answer) : answer_(std::move(answer)) {}
  Result<json> execute(std::string_view command, json, std::chrono::milliseconds) override {
    if (command != "query-target") return fail("QEMU refuses '{}'", command);
    return answer_;
  }

 private:
  const Result<json> answer_;
};

std::optional<uint32_t> size_of(Result<json> answer) {
  TargetMonitor monitor(std::move(answer));
  return page_size_of_processor(monitor);
}

TEST(GuestPage, ShowsInTheNameOfMostProcessors) {
  for (const char* processor : {"x86_64", "i386", "s390x", "ppc64", "riscv64"})
    EXPECT_EQ(size_of(json{{"arch", processor}}), 4096u) << processor;
}

TEST(GuestPage, IsNotKnownOfOthersOrWithoutAnAnswer) {
  for (const char* processor : {"alpha", "sparc64", "loongarch64", "aarch64", "x86", ""})
    EXPECT_EQ(size_of(json{{"arch", processor}}), std::nullopt) << processor;
  for (const json& answer : {json(), json(7), json::object(), json{{"arch", 4}}})
    EXPECT_EQ(size_of(answer), std::nullopt);
  EXPECT_EQ(size_of(fail("QEMU does not answer")), std::nullopt);
}

TEST(GuestPage, IsToldByASourceThatMigrates) {
  EXPECT_EQ(page_size_told({{"status", "active"}, {"ram", {{"page-size", 8192u}}}}), 8192u);
  for (const json& answer : {json(), json{{"status", "setup"}}, json{{"ram", 5}},
                             json{{"ram", {{"page-size", -1}}}}, json{{"ram", {{"page-size", 0u}}}}})
    EXPECT_EQ(page_size_told(answer), std::nullopt);
}

}  // namespace
}  // namespace wherry::qemu
