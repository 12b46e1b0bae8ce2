// Text from outside, made safe to log, to show at a terminal and to report: what a peer, a QEMU, libvirt or a
// caller says. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace wherry {

// The text on one line, in UTF-8, with nothing that a terminal obeys. Line feeds become \n, other control
// characters and bytes that are not UTF-8 become \xHH, and so do characters that change the direction of
// text. A text of more than `longest` bytes is cut and then ends in "…" (3 bytes, within `longest`).
// What comes out stays as it is if it goes in again.
std::string printable(std::string_view text, size_t longest = 1000);

}  // namespace wherry
