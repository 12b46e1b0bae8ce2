// Carries bytes both ways between two sockets until both directions have ended. Each direction ends on its
// own; what cannot be sent on ends both. `forward` and `back` may change what goes from a to b and from b to
// a: they send it on, each in a thread of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"

namespace wherry {

using Carry = std::function<bool(std::span<const uint8_t> bytes)>;
Result<> carry_both_ways(int a, int b, const Carry& forward, const Carry& back);

}  // namespace wherry
