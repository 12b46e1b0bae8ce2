#include "base/process_end.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

namespace wherry {
namespace {

// In a process of its own; the exit status is what it returns.
template <class Work>
int in_child(const Work& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int oom_score() {
  int score = -1;
  std::ifstream("/proc/self/oom_score_adj") >> score;
  return score;
}

TEST(ProcessEnd, ComesBeforeThatOfOthers) {
  EXPECT_EQ(in_child([] {
              if (!end_before_others()) return 1;
              return oom_score() == 1000 ? 0 : 2;
            }),
            0);
}

TEST(ProcessEnd, ComesFirstForChildrenToo) {
  EXPECT_EQ(in_child([] {
              if (!end_before_others()) return 1;
              return in_child([] { return oom_score() == 1000 ? 0 : 2; });
            }),
            0);
}

TEST(ProcessEnd, LeavesNoCore) {
  ASSERT_EQ(::prctl(PR_GET_DUMPABLE), 1);
  EXPECT_EQ(in_child([] {
              leave_no_core();
              return ::prctl(PR_GET_DUMPABLE);
            }),
            0);
}

void ignore(int) {}

TEST(ProcessEnd, IsBySignalsThatALibraryHandled) {
  EXPECT_EQ(in_child([] {
              std::signal(SIGABRT, ::_exit);
              std::signal(SIGBUS, ignore);  // the program's own
              end_by_signals();
              if (std::signal(SIGABRT, SIG_DFL) != SIG_DFL) return 1;
              return std::signal(SIGBUS, SIG_DFL) == ignore ? 0 : 2;
            }),
            0);
}

}  // namespace
}  // namespace wherry
