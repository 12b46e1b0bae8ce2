// Listening at endpoints, and taking connections from another process that listens.
//
// Blocking calls; stop() in another thread ends them. Thread-safe otherwise as long as one thread accepts.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "transport/socket/endpoint.h"

namespace wherry {

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

}  // namespace wherry
