// The runs of set bits in a bitmap of 64 bits.
#pragma once

#include <bit>
#include <cstdint>

namespace wherry {

// Calls visit(first, count) for each run of set bits, lowest first.
template <class Visit>
void each_bit_run(uint64_t bits, Visit&& visit) {
  while (bits != 0) {
    int first = std::countr_zero(bits);
    visit(static_cast<uint32_t>(first), static_cast<uint32_t>(std::countr_one(bits >> first)));
    // Adding the lowest bit of a run carries over the whole run.
    bits &= bits + (uint64_t{1} << first);
  }
}

}  // namespace wherry
