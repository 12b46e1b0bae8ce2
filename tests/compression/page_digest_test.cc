#include "compression/page_digest.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::Bytes;
using test::kPage;
using test::random_page;

std::string digest_of(const Bytes& page) {
  auto digest = digest_page(page.data(), static_cast<uint32_t>(page.size()));
  if (!digest) return digest.error().message;
  std::string text;
  for (const uint8_t byte : *digest) text += fmt::format("{:02x}", byte);
  return text;
}

// As sha256sum prints it.
TEST(PageDigest, IsTheSha256) {
  EXPECT_EQ(digest_of(Bytes(kPage)), "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7");
  EXPECT_EQ(digest_of(Bytes(1024, 'p')), "c413dd662dfa021a9a6d3762095ee42295aa837fd0058b846483876f5bccb601");
  EXPECT_EQ(digest_of({'w', 'h', 'a', 'r', 'f'}),
            "3982ea295917ab203aa0fa8d63ce9397e4a467ffabb5dc0fd2d448b0b8a2636f")
      << "whatever was digested before";
}

TEST(PageDigest, IsTheSameInEachThread) {
  const std::string right = digest_of(random_page(1));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int times = 0; times < 200; ++times) ASSERT_EQ(digest_of(random_page(1)), right);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace wherry
