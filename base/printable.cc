#include "base/printable.h"

#include <fmt/core.h>

#include <array>
#include <cstdint>

namespace wherry {
namespace {

constexpr std::string_view kCut = "…";

struct Character {
  uint32_t code = 0;
  size_t length = 0;  // in bytes; 0: the text does not begin with a character
};

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
Character first_character(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text.front());
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {};
  uint32_t code = lead & (0x7fu >> length);
  for (const char next : text.substr(1, length - 1)) {
    const auto byte = static_cast<uint8_t>(next);
    if ((byte & 0xc0) != 0x80) return {};
    code = code << 6 | (byte & 0x3fu);
  }
  constexpr std::array<uint32_t, 3> kLeast{0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (code < kLeast[length - 2] || surrogate || code > 0x10ffff) return {};
  return {code, length};
}

bool is_printable(uint32_t code) {
  const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
  // Separators of lines and paragraphs, embeddings and overrides of direction, and their isolates.
  const bool directs = (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return !control && !directs;
}

}  // namespace

std::string printable(std::string_view text, size_t longest) {
  std::string shown;
  size_t fits = 0;  // bytes of `shown` behind which there is room for kCut
  while (!text.empty()) {
    const Character next = first_character(text);
    const bool as_is = next.length > 0 && is_printable(next.code);
    const std::string_view taken = text.substr(0, as_is ? next.length : 1);
    const std::string piece = as_is           ? std::string(taken)
                              : taken == "\n" ? "\\n"
                                              : fmt::format("\\x{:02x}", static_cast<uint8_t>(taken[0]));
    if (shown.size() + piece.size() > longest) return shown.substr(0, fits).append(kCut);
    shown += piece;
    if (shown.size() + kCut.size() <= longest) fits = shown.size();
    text.remove_prefix(taken.size());
  }
  return shown;
}

}  // namespace wherry
