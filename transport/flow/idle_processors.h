// How many of the machine's processors were idle since the last call.
#pragma once

namespace wherry {

// From /proc/stat. 0 in the first call, and if there is no such file. Thread-safe.
double idle_processors();

}  // namespace wherry
