#include "transport/socket/connect.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/errno.h"
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
                      const Event* cancel) {
  if (to.is_unix()) return connect_unix(to, timeout);
  auto found = resolve_to_connect(to, cancel);
  if (!found) return pass_on(found);
  const auto until = Clock::now() + timeout;
  std::string why;
  for (const addrinfo* at = found->get(); at; at = at->ai_next) {
    Fd fd(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    Result<int> error = fd && ::connect(fd.get(), at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
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
