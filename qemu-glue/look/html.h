// Escapes untrusted text for HTML.
#pragma once

#include <string>
#include <string_view>

namespace wherry::look {

// For HTML and SVG, between tags or in a quoted attribute: the text is displayed literally. Control
// characters become U+FFFD.
std::string escaped(std::string_view text);

}  // namespace wherry::look
