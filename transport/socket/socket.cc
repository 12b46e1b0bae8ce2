#include "transport/socket/socket.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>

#include "base/errno.h"
#include "transport/socket/addresses.h"

namespace wherry {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Drops `bytes`, which are already sent or received, from the front of the pieces.
std::span<iovec> drop_front(std::span<iovec> pieces, size_t bytes) {
  while (!pieces.empty() && bytes >= pieces.front().iov_len) {
    bytes -= pieces.front().iov_len;
    pieces = pieces.subspan(1);
  }
  if (bytes > 0) {
    pieces.front().iov_base = static_cast<uint8_t*>(pieces.front().iov_base) + bytes;
    pieces.front().iov_len -= bytes;
  }
  return pieces;
}

msghdr message(std::span<iovec> pieces) {
  msghdr header{};
  header.msg_iov = pieces.data();
  header.msg_iovlen = std::min<size_t>(pieces.size(), IOV_MAX);
  return header;
}

// Returns 0, or an errno if not everything was sent.
int send_pieces(int fd, std::span<iovec> pieces) {
  while (!pieces.empty()) {
    msghdr header = message(pieces);
    const ssize_t sent = ::sendmsg(fd, &header, MSG_NOSIGNAL);
    if (sent >= 0) {
      pieces = drop_front(pieces, static_cast<size_t>(sent));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

// `question` is an ioctl that returns a number of bytes. 0 if it fails.
uint64_t queued(int fd, unsigned long question) {
  int bytes = 0;
  return ::ioctl(fd, question, &bytes) == 0 && bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
}

}  // namespace

std::string reason(int error, int fd) {
  if (error == EAGAIN) {
    timeval patience{};
    socklen_t length = sizeof patience;
    if (::getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, &length) == 0 && seconds_of(patience) > 0)
      return fmt::format("no answer within {} s", seconds_of(patience));
  }
  if (error == ETIMEDOUT) {
    unsigned int milliseconds = 0;
    socklen_t length = sizeof milliseconds;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, &length) == 0 && milliseconds > 0)
      return fmt::format("{}: no answer within {} s", reason(error), milliseconds / 1e3);
  }
  return reason(error);
}

bool takes_nothing(int fd) {
  pollfd state{fd, 0, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

void await_takes_nothing(int fd) {
  pollfd state{fd, 0, 0};
  while (::poll(&state, 1, -1) < 0 && errno == EINTR) continue;
}

uint64_t unsent_bytes(int fd) {
  return queued(fd, SIOCOUTQNSD);
}

uint64_t unacknowledged_bytes(int fd) {
  return queued(fd, SIOCOUTQ);
}

std::string numeric_address(int fd, End end) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  const auto ask = end == End::here ? ::getsockname : ::getpeername;
  if (ask(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  return numeric_address(reinterpret_cast<sockaddr*>(&address), length);
}

std::string peer_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&address), length, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "a peer that left";
  }
  return std::string(host) + ":" + port;
}

void tune_tcp(int fd, std::chrono::seconds silence) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  int seconds = static_cast<int>(silence.count());
  int probe = std::max(1, seconds / 5);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe, sizeof probe);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe, sizeof probe);
  unsigned int milliseconds = static_cast<unsigned int>(seconds) * 1000;
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

Result<> send_all(int fd, std::span<iovec> pieces) {
  if (const int error = send_pieces(fd, pieces)) return fail("{}", reason(error, fd));
  return {};
}

Result<bool> send_while_taken(int fd, std::span<iovec> pieces) {
  const int error = send_pieces(fd, pieces);
  if (error == EPIPE || error == ECONNRESET) return false;
  if (error != 0) return fail("{}", reason(error, fd));
  return true;
}

Result<> send_all(int fd, std::span<const uint8_t> bytes) {
  iovec one = piece(bytes);
  return send_all(fd, {&one, 1});
}

Result<bool> send_while_taken(int fd, std::span<const uint8_t> bytes) {
  iovec one = piece(bytes);
  return send_while_taken(fd, {&one, 1});
}

Result<bool> recv_all(int fd, std::span<iovec> pieces) {
  bool begun = false;
  pieces = drop_front(pieces, 0);
  while (!pieces.empty()) {
    msghdr header = message(pieces);
    ssize_t got = ::recvmsg(fd, &header, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("{}", reason(errno, fd));
    if (got == 0 && !begun) return false;
    if (got == 0) return fail("the connection ended in the middle of a frame");
    begun = true;
    pieces = drop_front(pieces, static_cast<size_t>(got));
  }
  return true;
}

Result<bool> recv_all(int fd, std::span<uint8_t> bytes) {
  iovec one{bytes.data(), bytes.size()};
  return recv_all(fd, {&one, 1});
}

}  // namespace wherry
