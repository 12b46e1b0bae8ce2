#include "qemu-glue/gateway/xdr.h"

#include <gtest/gtest.h>

#include <string>

namespace wherry::libvirt {
namespace {

using Bytes = std::vector<uint8_t>;

TEST(Xdr, ReadsWhatItPuts) {
  Bytes bytes;
  put_u32(bytes, 0x01020304);
  for (const char* text : {"", "a", "ab", "abc", "abcd", "abcde"}) put_string(bytes, text);
  put_optional_string(bytes, std::nullopt);
  put_optional_string(bytes, "there");
  put_bytes(bytes, Bytes{0, 0, 0, 1, 0, 0, 0, 2});
  XdrReader in(bytes, 0);
  EXPECT_EQ(in.u32(), 0x01020304u);
  for (const char* text : {"", "a", "ab", "abc", "abcd", "abcde"}) EXPECT_EQ(in.string(), text);
  EXPECT_EQ(in.optional_string(), std::nullopt);
  EXPECT_EQ(in.optional_string(), "there");
  EXPECT_FALSE(in.complete());
  EXPECT_EQ(in.u64(), 0x0000000100000002u);
  EXPECT_TRUE(in.complete());
  EXPECT_EQ(in.position(), bytes.size());
}

TEST(Xdr, PutsTheBytesOfTheStandard) {
  Bytes bytes;
  put_optional_string(bytes, "abcde");
  EXPECT_EQ(bytes, (Bytes{0, 0, 0, 1, 0, 0, 0, 5, 'a', 'b', 'c', 'd', 'e', 0, 0, 0}));
}

TEST(Xdr, BeginsWhereItIsTold) {
  const Bytes bytes{9, 9, 0, 0, 0, 3};
  EXPECT_EQ(XdrReader(bytes, 2).u32(), 3u);
  XdrReader behind(bytes, 7);
  EXPECT_EQ(behind.u32(), 0u);
  EXPECT_TRUE(behind.broken());
}

// Each of these has one fault.
TEST(Xdr, IsBrokenByWhatDoesNotFit) {
  for (const Bytes& bytes : {
           Bytes{}, Bytes{0, 0, 0},                                     // less than a number
           Bytes{0, 0, 0, 2, 'a'},                                      // string too short
           Bytes{0, 0, 0, 1, 'a', 0, 0},                                // padding cut off
           Bytes{0, 0, 0, 1, 'a', 0, 0, 1},                             // padding not zero
           Bytes{0xff, 0xff, 0xff, 0xff, 'a', 0, 0, 0},                 // a length that would wrap
           Bytes{0x7f, 0xff, 0xff, 0xfc, 'a', 0, 0, 0, 'b', 'c', 'd'},  //
       }) {
    XdrReader in(bytes, 0);
    EXPECT_EQ(in.string(), "");
    EXPECT_TRUE(in.broken());
    // The reader stays broken.
    EXPECT_EQ(in.u32(), 0u);
    EXPECT_EQ(in.optional_string(), std::nullopt);
    EXPECT_FALSE(in.complete());
  }
}

TEST(Xdr, TakesOnlyZeroAndOneForPresence) {
  const Bytes bytes{0, 0, 0, 2, 0, 0, 0, 0};
  XdrReader in(bytes, 0);
  EXPECT_EQ(in.optional_string(), std::nullopt);
  EXPECT_TRUE(in.broken());
}

}  // namespace
}  // namespace wherry::libvirt
