#include "qemu-glue/look/html.h"

namespace wherry::look {

std::string escaped(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default: {
        const bool control = (c >= 0 && c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
        if (control)
          safe += "\xef\xbf\xbd";
        else
          safe += c;
      }
    }
  }
  return safe;
}

}  // namespace wherry::look
