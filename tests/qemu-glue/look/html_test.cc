#include "qemu-glue/look/html.h"

#include <gtest/gtest.h>

namespace wherry::look {
namespace {

TEST(Html, TextStaysText) {
  EXPECT_EQ(escaped("a <script src='x'> & \"b\""), "a &lt;script src=&#39;x&#39;&gt; &amp; &quot;b&quot;");
  EXPECT_EQ(escaped("Grüße\n\tzwei"), "Grüße\n\tzwei");
}

TEST(Html, ControlCharactersAreReplaced) {
  using namespace std::string_view_literals;
  EXPECT_EQ(escaped("a\0b\x1b[2J\x7f"sv), "a\uFFFDb\uFFFD[2J\uFFFD");
}

}  // namespace
}  // namespace wherry::look
