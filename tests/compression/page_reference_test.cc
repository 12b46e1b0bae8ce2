#include "compression/page_reference.h"

#include <gtest/gtest.h>

#include "tests/compression/sample_pages.h"
#include "tests/compression/sample_secret.h"

namespace wherry {
namespace {

using test::Bytes;
using test::kPage;
using test::kSampleSecret;
using test::random_page;

TEST(PageReference, IsReadAsItWasWritten) {
  for (const PageReference& reference : {PageReference{},
                                         {0x1112, 0x212223242526, {0x3132333435363738, 0x4142434445464748}},
                                         {65535, (uint64_t{1} << 48) - 1, {~uint64_t{0}, ~uint64_t{0}}}}) {
    Bytes encoded(kReferenceBytes + 1, 0xee);
    put_reference(reference, encoded.data());
    EXPECT_EQ(get_reference(encoded.data()), reference);
    EXPECT_EQ(encoded.back(), 0xee);
  }
}

TEST(PageReference, CopiesThePageThatIsMeant) {
  const Bytes page = random_page(1);
  const ContentHash content = hash_content(page.data(), kPage, kSampleSecret);
  Bytes out(kPage);
  EXPECT_TRUE(copy_referred(page.data(), content, kPage, kSampleSecret, out.data()));
  EXPECT_EQ(out, page);
  EXPECT_TRUE(copy_referred(out.data(), content, kPage, kSampleSecret, out.data())) << "where it is";
  EXPECT_EQ(out, page);
}

TEST(PageReference, NoticesAnotherPage) {
  const Bytes page = random_page(1);
  const ContentHash content = hash_content(page.data(), kPage, kSampleSecret);
  Bytes out(kPage);
  for (size_t at : {size_t{0}, size_t{1777}, size_t{kPage - 1}}) {
    Bytes other = page;
    other[at] ^= 1;
    EXPECT_FALSE(copy_referred(other.data(), content, kPage, kSampleSecret, out.data())) << at;
  }
  const auto differs = [&](const ContentHash& said) {
    return !copy_referred(page.data(), said, kPage, kSampleSecret, out.data());
  };
  EXPECT_TRUE(differs({content.low ^ 1, content.high}));
  EXPECT_TRUE(differs({content.low, content.high ^ 1}));
}

}  // namespace
}  // namespace wherry
