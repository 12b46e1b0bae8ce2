#include "base/process_end.h"

#include <dlfcn.h>
#include <sys/prctl.h>

#include <cerrno>
#include <csignal>
#include <fstream>

#include "base/errno.h"

namespace wherry {
namespace {

constexpr const char* kFile = "/proc/self/oom_score_adj";
constexpr int kFirst = 1000;  // the most there is

// Where the program or library begins that has this address.
const void* origin_of(const void* address) {
  Dl_info info{};
  return ::dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
}

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

void end_by_signals() {
  const void* own = origin_of(&kFirst);
  for (const int signal :
       {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGTERM}) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) != 0 || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)
      continue;
    if (origin_of(reinterpret_cast<const void*>(now.sa_handler)) != own) std::signal(signal, SIG_DFL);
  }
}

}  // namespace wherry
