// Carries bytes both ways between two sockets until both directions have ended. The end of one direction is
// passed on alone; a failed send ends both. `forward` gets what comes from a and sends it to b, `back` the
// reverse, each in a thread of its own; so they can change the bytes. They return false if they cannot send.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"

namespace wherry {

using Carry = std::function<bool(std::span<const uint8_t> bytes)>;
Result<> carry_both_ways(int a, int b, const Carry& forward, const Carry& back);

}  // namespace wherry
