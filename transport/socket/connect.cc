#include "transport/socket/connect.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/errno.h"
#include "base/random_key.h"
#include "base/wait_ready.h"
#include "transport/socket/addresses.h"
#include "transport/socket/resolve.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

// Waits for a non-blocking connect to finish; returns its errno.
Result<int> finish_connect(int fd, std::chrono::milliseconds timeout, const Event* cancel) {
  std::array<pollfd, 2> ready{pollfd{fd, POLLOUT, 0}, pollfd{cancel ? cancel->fd() : -1, POLLIN, 0}};
  auto answered = wait_ready(ready, std::chrono::steady_clock::now() + timeout);
  if (!answered) return pass_on(answered);
  if (!*answered)
    return fail("no answer within {} s: that host is down, or a firewall drops what is sent to it",
                seconds_of(timeout));
  if (ready[1].revents) return ECANCELED;
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

// The time for one address: the time that is left, in equal parts for it and the addresses after it.
std::chrono::milliseconds part_of(Clock::time_point until, const addrinfo& address) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
  int count = 0;
  for (const addrinfo* at = &address; at; at = at->ai_next) ++count;
  return std::max(left / count, std::chrono::milliseconds(0));
}

void set_blocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

// The ports that rsh and NFS call from: few services listen there.
constexpr uint16_t kFirstPrivileged = 512;
constexpr uint16_t kPrivileged = 512;

// Binds to a port of this host, at any address. Returns an errno.
int bind_to(int fd, int family, uint16_t port) {
  const int on = 1;
  // A connection that has ended keeps its port for a minute. Another peer can be called from it meanwhile.
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const bool is_v6 = family == AF_INET6;
  const auto* at = is_v6 ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
  return ::bind(fd, at, is_v6 ? sizeof v6 : sizeof v4) == 0 ? 0 : errno;
}

// Begins to connect to one address. Returns an errno; `fd` is the socket.
int begin_connect(const addrinfo& at, SourcePort from, Fd& fd) {
  const auto first = static_cast<uint16_t>(random_key<1>()[0] * 2);
  for (uint16_t tried = 0;; ++tried) {
    fd = Fd(::socket(at.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return errno;
    const bool binds = from == SourcePort::privileged && tried < kPrivileged;
    const int bound =
        binds ? bind_to(fd.get(), at.ai_family, kFirstPrivileged + (first + tried) % kPrivileged) : 0;
    if (bound == EADDRINUSE) continue;
    if (bound != 0) from = SourcePort::any;  // the peer says what it thinks of that
    if (::connect(fd.get(), at.ai_addr, at.ai_addrlen) == 0) return 0;
    // The port is taken by an earlier connection to the same peer.
    if (binds && bound == 0 && (errno == EADDRNOTAVAIL || errno == EADDRINUSE)) continue;
    return errno;
  }
}

Result<Fd> connect_unix(const Endpoint& to, std::chrono::milliseconds timeout) {
  auto address = unix_address(to.path);
  if (!address) return pass_on(address);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail("cannot make a socket: {}", reason(errno));
  // Bounds the wait for a listener whose queue is full.
  timeval wait{timeout.count() / 1000, (timeout.count() % 1000) * 1000};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) != 0) {
    if (errno == EAGAIN)
      return fail(
          "cannot connect to {}: the process that listens there has accepted nothing for {} s: it is stuck",
          to.str(), seconds_of(timeout));
    return fail("cannot connect to {}: {}", to.str(), reason(errno));
  }
  wait = {};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  return fd;
}

}  // namespace

Result<Fd> connect_to(const Endpoint& to, std::chrono::milliseconds timeout, std::chrono::seconds silence,
                      const Event* cancel, SourcePort from) {
  if (to.is_unix()) return connect_unix(to, timeout);
  auto found = resolve_to_connect(to, cancel);
  if (!found) return pass_on(found);
  const auto until = Clock::now() + timeout;
  std::string why;
  for (const addrinfo* at = found->get(); at; at = at->ai_next) {
    Fd fd;
    Result<int> error = begin_connect(*at, from, fd);
    if (fd && *error == EINPROGRESS) error = finish_connect(fd.get(), part_of(until, *at), cancel);
    if (error && *error == 0) {
      set_blocking(fd.get());
      tune_tcp(fd.get(), silence);
      return fd;
    }
    const std::string address = numeric_address(at->ai_addr, at->ai_addrlen);
    why +=
        (why.empty() ? "" : ", ") + of_address(error ? reason(*error) : error.error().message, address, to);
    if (error && *error == ECANCELED) break;
  }
  return fail("cannot connect to {}: {}", to.str(), why);
}

}  // namespace wherry
