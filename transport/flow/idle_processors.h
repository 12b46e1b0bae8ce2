// How many of the machine's processors have had nothing to do since the last time somebody asked.
#pragma once

namespace wherry {

// From /proc/stat; 0 the first time, and where there is no such file. Thread-safe.
double idle_processors();

}  // namespace wherry
