#include "qemu-glue/convergence/source_qemu.h"

#include <algorithm>

namespace wherry::convergence {

Result<std::vector<pid_t>> SourceQemu::vcpu_threads() {
  auto threads = thread_of_each_vcpu();
  if (!threads) return threads;
  std::sort(threads->begin(), threads->end());
  threads->erase(std::unique(threads->begin(), threads->end()), threads->end());
  if (threads->empty()) return fail("QEMU does not name its vCPUs' threads");
  return threads;
}

}  // namespace wherry::convergence
