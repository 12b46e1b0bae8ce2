#include "qemu-glue/cli/carrier.h"

#include <spdlog/spdlog.h>

#include "base/process_end.h"

namespace wherry::cli {

void become_carrier() {
  // First: without core dumps, a process of a user cannot write that file.
  if (auto first = end_before_others(); !first) spdlog::warn("{}", first.error().message);
  leave_no_core();
}

}  // namespace wherry::cli
