// What an errno means, for messages. Thread-safe.
#pragma once

#include <string>

namespace wherry {

// strerror's text; if a limit was reached, also which limit that is.
std::string reason(int error);

}  // namespace wherry
