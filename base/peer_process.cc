#include "base/peer_process.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <limits>
#include <string>

#include "base/errno.h"

namespace wherry {
namespace {

// Linux 6.5; the C library's headers may be older. (It is 77 except on parisc and sparc.)
#ifdef SO_PEERPIDFD
constexpr int kPeerPidfd = SO_PEERPIDFD;
#else
constexpr int kPeerPidfd = 77;
#endif

}  // namespace

uint64_t start_of(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  file.ignore(std::numeric_limits<std::streamsize>::max(), ')');  // its name may hold anything but this
  std::string field;
  constexpr int kState = 3;
  constexpr int kStartTime = 22;
  for (int i = kState; i < kStartTime; ++i) file >> field;
  uint64_t ticks = 0;
  file >> ticks;
  return file ? ticks : 0;
}

uint64_t ticks_now() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const auto ticks = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  constexpr uint64_t kNanoseconds = 1'000'000'000;
  return static_cast<uint64_t>(now.tv_sec) * ticks +
         static_cast<uint64_t>(now.tv_nsec) * ticks / kNanoseconds;
}

Result<PeerProcess> PeerProcess::of(int connection, uint64_t since) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return fail("cannot find the process at the other end: {}", reason(errno));
  if (peer.pid <= 0)
    return fail("the process at the other end is not told: it is not on a unix socket, or in a container");
  int pidfd = -1;
  size = sizeof pidfd;
  if (::getsockopt(connection, SOL_SOCKET, kPeerPidfd, &pidfd, &size) == 0)
    return PeerProcess(peer.pid, Fd(pidfd));
  if (errno == ENOPROTOOPT) return numbered(peer.pid, since);
  return fail("process {}, which is at the other end: {}", peer.pid, reason(errno));
}

Result<PeerProcess> PeerProcess::numbered(pid_t number, uint64_t since) {
  // No wrapper for it in glibc before 2.36.
  PeerProcess process(number, Fd(static_cast<int>(::syscall(SYS_pidfd_open, number, 0))));
  if (!process.pidfd_) return fail("cannot open process {}: {}", number, reason(errno));
  const uint64_t start = start_of(number);
  if (start == 0 || process.has_ended()) return fail("process {} has ended", number);
  if (start > since) return fail("process {} has ended, and another has its number", number);
  return process;
}

bool PeerProcess::has_ended() const {
  pollfd ended{pidfd_.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) != 0;
}

}  // namespace wherry
