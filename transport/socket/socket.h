// Stream sockets: addresses, connecting, listening, and whole reads and writes.
//
// Blocking calls on blocking sockets; another thread ends them with shutdown(2). Functions are thread-safe as
// long as one thread reads and one writes a socket. Errors name the address.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/event.h"
#include "base/fd.h"

namespace wherry {

// The most bytes that the path of a unix socket may have.
inline constexpr size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;

// Where a stream socket is: a unix socket's path, or a host and port.
struct Endpoint {
  std::string path;  // set: a unix socket
  std::string host;
  uint16_t port = 0;

  bool is_unix() const { return !path.empty(); }
  // Whether the address is this machine's own (127.0.0.0/8, ::1, localhost, a unix socket).
  bool is_loopback() const;
  // As a URI has it: [fe80::1%25eth0]:16520.
  std::string str() const;
};

// Connects within `timeout`. Of several addresses that a host has, each has its part of it, one after the
// other. TCP sockets come without Nagle's delay, and with keepalive and TCP_USER_TIMEOUT
// set so that a peer that vanished is noticed after `silence`. Given `cancel`, it fails as soon as that is
// raised, but for a unix socket.
Result<Fd> connect_to(const Endpoint& to, std::chrono::milliseconds timeout, std::chrono::seconds silence,
                      const Event* cancel = nullptr);

// Listening sockets, and the path to remove when their owner goes; or a socket over which another process
// hands over the connections that it has accepted.
class Listener {
 public:
  // A unix path left behind by a dead process is replaced; one that somebody listens on is an error. The
  // socket's mode is 0600. A host is listened on at all addresses that it has; some of them may not be this
  // host's.
  static Result<Listener> open(const Endpoint& at);
  // On several hosts.
  static Result<Listener> open(const std::vector<Endpoint>& at);
  // At a unix path, for the processes of a user: the socket is his, unless he is root, who needs not own it.
  static Result<Listener> open_for(const Endpoint& at, uid_t user);
  // Connections come from hand_over() at the other end of `from`.
  static Listener handed_over(Fd from);
  Listener(Listener&&) = default;
  Listener& operator=(Listener&& other) noexcept {
    const Listener old = std::move(*this);  // removes its path
    fds_ = std::move(other.fds_);
    where_ = std::move(other.where_);
    told_ = std::move(other.told_);
    handed_over_ = other.handed_over_;
    return *this;
  }
  ~Listener();

  // Waits for a connection; fails once stop() was called, and where there is no room for one more: who calls
  // is not told then, and must not be left waiting.
  Result<Fd> accept(std::chrono::seconds silence) const;
  // The next connection that is already there, or an empty Fd.
  Result<Fd> accept_waiting() const;
  // Ends accept() in another thread, now and for ever.
  void stop() const;
  // Whether that was called, or nobody hands over connections any more.
  bool stopped() const;
  // For who goes on listening although there is no room: waits for a moment, or until stop().
  void back_off() const;
  // Where it listens: the first, or each that was asked for. A port 0 was replaced by the one the kernel
  // gave.
  const Endpoint& where() const { return where_.front(); }
  const std::vector<Endpoint>& everywhere() const { return where_; }
  // The same for people, with the addresses behind a name, and those that are not listened on.
  const std::string& str() const { return told_; }

 private:
  Listener() = default;
  Result<> add_path(const Endpoint& at, uid_t user);
  Result<> add_host(Endpoint at, bool alone);
  std::vector<Fd> fds_;
  std::vector<Endpoint> where_;
  std::string told_;
  bool handed_over_ = false;
};

// Gives a connection to the process at the other end of a unix socket; both ends of it are then that
// process's.
Result<> hand_over(int to, const Fd& connection);

void tune_tcp(int fd, std::chrono::seconds silence);

// Sends all bytes of all pieces; the span's entries are used up on the way.
Result<> send_all(int fd, std::span<iovec> pieces);
Result<> send_all(int fd, std::span<const uint8_t> bytes);
// The same to a peer that may leave: false if it has.
Result<bool> send_while_taken(int fd, std::span<iovec> pieces);
Result<bool> send_while_taken(int fd, std::span<const uint8_t> bytes);

// Fills all pieces. An end of stream before the first byte gives `false`, later an error.
Result<bool> recv_all(int fd, std::span<iovec> pieces);
Result<bool> recv_all(int fd, std::span<uint8_t> bytes);

inline iovec piece(std::span<const uint8_t> bytes) {
  return {const_cast<uint8_t*>(bytes.data()), bytes.size()};
}

// Of a connection whose stream has ended: whether its peer takes nothing more either, because it has closed
// it and not only ended its own direction. Over TCP that shows only to who writes.
bool takes_nothing(int fd);
// Waits for that. Also ends when the connection is shut here.
void await_takes_nothing(int fd);

// Bytes that a TCP socket has taken and the kernel has not sent once yet: they wait for a window or for the
// link.
uint64_t unsent_bytes(int fd);
// And those that the peer's has not acknowledged, unsent ones among them.
uint64_t unacknowledged_bytes(int fd);

// The address of an end of a connected TCP socket, in numbers; of an IPv4 address in an IPv6 socket, that.
enum class End { here, peer };
std::string numeric_address(int fd, End end);

// "host:port" of the peer of a connected TCP socket.
std::string peer_address(int fd);

// strerror for messages, thread-safe; says which limit it is that was reached.
std::string reason(int error);
// The same of a socket; where it is a time that has run out, how long that was.
std::string reason(int error, int fd);

}  // namespace wherry
