#include "base/printable.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace wherry {
namespace {

using namespace std::string_literals;

TEST(Printable, PlainTextStaysAsItIs) {
  for (const char* text : {"", "pc.ram", "C:\\x \"y\" 'z'", "Zähler größer, 待機中, 😀", "~ !"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, NothingBeginsAnotherLineOrIsObeyed) {
  EXPECT_EQ(printable("a\nwherryd: b"), "a\\nwherryd: b");
  EXPECT_EQ(printable("a\r\033[2Kb\t\x7f"s), "a\\x0d\\x1b[2Kb\\x09\\x7f");
  EXPECT_EQ(printable("a\0b"s), "a\\x00b");
  EXPECT_EQ(printable("a\xc2\x9b"
                      "31mb"),
            "a\\xc2\\x9b31mb")
      << "a control character of 8 bits";
  EXPECT_EQ(printable("a\xe2\x80\xae"
                      "b"),
            "a\\xe2\\x80\\xaeb")
      << "from right to left";
  EXPECT_EQ(printable("a\xe2\x80\xa8"
                      "b"),
            "a\\xe2\\x80\\xa8b")
      << "a separator of lines";
  EXPECT_EQ(printable("a\xe2\x81\xa6"
                      "b"),
            "a\\xe2\\x81\\xa6b")
      << "an isolate";
}

TEST(Printable, WhatIsNotUtf8IsShownAsBytes) {
  for (const auto& [text, shown] : std::vector<std::pair<std::string, std::string>>{
           {"a\xff"
            "b",
            "a\\xffb"},
           {"a\x9b", "a\\x9b"},
           {"a\xc3", "a\\xc3"},
           {"a\xc3(", "a\\xc3("},
           {"\xc0\xaf", "\\xc0\\xaf"},                    // "/", overlong
           {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},           // overlong
           {"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},  // overlong
           {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // a surrogate
           {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // above U+10FFFF
           {"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},
           {"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"}}) {
    EXPECT_EQ(printable(text), shown);
  }
}

TEST(Printable, ALongTextIsCutBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdefg", 6), "abc…");
  EXPECT_EQ(printable("ab\n\n", 6), "ab\\n\\n");
  EXPECT_EQ(printable("ab\n\nc", 6), "ab…");
  EXPECT_EQ(printable("aääää", 8), "aää…");
  EXPECT_EQ(printable(std::string(100'000, '\n')).size(), 999u);
  EXPECT_LE(printable(std::string(100'000, '\xff')).size(), 1000u);
}

TEST(Printable, AllBytesInAllNeighbourhoodsComeOutAsTextAndStaySo) {
  for (const std::string& around : {""s, "\xc2"s, "\xe2\x80"s, "\xf0\x9f\x98"s}) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string shown = printable(around + static_cast<char>(byte) + around);
      EXPECT_NO_THROW((void)nlohmann::json(shown).dump()) << "not UTF-8";
      EXPECT_EQ(shown.find_first_of("\n\r\033\x7f"), std::string::npos);
      EXPECT_EQ(printable(shown), shown);
    }
  }
}

}  // namespace
}  // namespace wherry
