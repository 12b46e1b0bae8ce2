// Formats amounts for people.
#pragma once

#include <cstdint>
#include <string>

namespace wherry::look {

// The unit of an amount. Amounts are at least 0.
enum class Unit { bytes, bytes_per_second, milliseconds, percent, times };

// "1.5 GB", in powers of 1000.
std::string bytes_text(double bytes);
// "1.5 GB/s", "72 ms", "12 %", "2.58".
std::string amount_text(Unit unit, double amount);

// How an axis shows amounts: divided by `one`, with the unit `name`.
struct Scale {
  double one;
  std::string name;  // empty: a plain number
};
// A scale for amounts up to `highest`.
Scale scale_of(Unit unit, double highest);
Scale scale_of_seconds(double longest);

}  // namespace wherry::look
