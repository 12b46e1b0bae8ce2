#include "compression/keyed_hash.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <set>
#include <span>

#include "tests/compression/made_pages.h"
#include "tests/compression/sample_pages.h"
#include "tests/compression/sample_secret.h"

namespace wherry {
namespace {

using test::Bytes;
using test::kPage;
using test::random_page;

TEST(KeyedHash, EveryDrawnSecretIsAnother) {
  std::set<PageSecret> drawn;
  for (int i = 0; i < 100; ++i) drawn.insert(draw_secret());
  EXPECT_EQ(drawn.size(), 100u);
  for (const PageSecret& secret : drawn) {
    EXPECT_FALSE(std::equal(secret.begin(), secret.begin() + kHalfSecret, secret.begin() + kHalfSecret));
    EXPECT_GT(std::set<uint8_t>(secret.begin(), secret.end()).size(), 150u) << "of 199 to be expected";
  }
}

// Computed by another program.
TEST(KeyedHash, IsXxh3UnderHalfOfTheSecret) {
  const Bytes page(kPage, 7);
  EXPECT_EQ(hash_page(page.data(), kPage, test::kSampleSecret), 0xffc01b6e246e6658u);
  EXPECT_EQ(hash_content(page.data(), kPage, test::kSampleSecret),
            (ContentHash{0xffc01b6e246e6658u, 0xba6ea4f4f225d53eu}));
}

TEST(KeyedHash, OfOnePageDiffersFromSessionToSession) {
  const PageSecret one = draw_secret();
  const PageSecret other = draw_secret();
  for (const Bytes& page : {random_page(1), Bytes(kPage), random_page(2, 1024), random_page(3, 65536)}) {
    const auto size = static_cast<uint32_t>(page.size());
    EXPECT_NE(hash_page(page.data(), size, one), hash_page(page.data(), size, other));
    EXPECT_NE(hash_content(page.data(), size, one).high, hash_content(page.data(), size, other).high);
  }
}

TEST(KeyedHash, EveryByteOfAPageCounts) {
  Bytes page = random_page(1);
  const ContentHash whole = hash_content(page.data(), kPage, test::kSampleSecret);
  for (size_t at = 0; at < kPage; ++at) {
    page[at] ^= 1;
    const ContentHash now = hash_content(page.data(), kPage, test::kSampleSecret);
    ASSERT_NE(now.low, whole.low) << at;
    ASSERT_NE(now.high, whole.high) << at;
    page[at] ^= 1;
  }
}

TEST(KeyedHash, PagesThatAreMadeWithoutTheSecretDiffer) {
  const auto [one, other] = test::made_pages(test::kKnownToAll);
  ASSERT_NE(one, other);
  ASSERT_EQ(XXH3_64bits(one.data(), kPage), XXH3_64bits(other.data(), kPage)) << "they are well made";
  const PageSecret secret = draw_secret();
  EXPECT_NE(hash_page(one.data(), kPage, secret), hash_page(other.data(), kPage, secret));
}

// Whoever has guessed what it takes of one half, 33 bits, has not of the other. XXH3-128 would not notice.
TEST(KeyedHash, PagesThatAreMadeForOneHalfOfTheSecretDifferUnderTheOther) {
  const PageSecret secret = draw_secret();
  const auto [one, other] = test::made_pages(std::span(secret).first<16>());
  const ContentHash hash = hash_content(one.data(), kPage, secret);
  const ContentHash of_other = hash_content(other.data(), kPage, secret);
  EXPECT_EQ(hash.low, of_other.low) << "they are well made";
  EXPECT_NE(hash.high, of_other.high);
  const XXH128_hash_t longer = XXH3_128bits_withSecret(one.data(), kPage, secret.data(), kHalfSecret);
  const XXH128_hash_t of_that = XXH3_128bits_withSecret(other.data(), kPage, secret.data(), kHalfSecret);
  EXPECT_TRUE(XXH128_isEqual(longer, of_that)) << "then one such hash would be enough";
}

}  // namespace
}  // namespace wherry
