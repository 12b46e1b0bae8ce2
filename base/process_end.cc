#include "base/process_end.h"

#include <sys/prctl.h>

#include <cerrno>
#include <fstream>

#include "base/errno.h"

namespace wherry {
namespace {

constexpr const char* kFile = "/proc/self/oom_score_adj";
constexpr int kFirst = 1000;  // the most there is

}  // namespace

Result<> end_before_others() {
  std::ofstream file(kFile);
  file << kFirst;
  file.close();
  if (!file) return fail("cannot write {} to {}: {}", kFirst, kFile, reason(errno));
  return {};
}

void leave_no_core() {
  ::prctl(PR_SET_DUMPABLE, 0);  // cannot fail with this value
}

}  // namespace wherry
