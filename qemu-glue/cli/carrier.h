// What a command arranges before it carries a guest's memory: send, receive, and migrate between two
// monitors.
#pragma once

namespace wherry::cli {

// If the host's memory runs out, it is this process that ends and not a guest; and no core dump has pages of
// a guest.
void become_carrier();

}  // namespace wherry::cli
