// Text that others wrote, in a page of ours.
#pragma once

#include <string>
#include <string_view>

namespace wherry::look {

// For HTML and SVG, between tags or in a quoted attribute: says what it says, and nothing else. Control
// characters become U+FFFD.
std::string escaped(std::string_view text);

}  // namespace wherry::look
