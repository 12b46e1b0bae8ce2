// Listening at endpoints, and accepting connections that another process hands over.
//
// Calls block; stop() in another thread ends them. Otherwise thread-safe as long as only one thread accepts.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "transport/socket/endpoint.h"

namespace wherry {

// Either listening sockets, whose path is removed with the Listener, or a socket over which another process
// hands over the connections that it has accepted.
class Listener {
 public:
  // The path of a unix socket that nobody listens on any more is replaced; one that somebody listens on is an
  // error. The socket's mode is 0600. For a host name, it listens at all addresses of the name, except those
  // that this host does not have.
  static Result<Listener> open(const Endpoint& at);
  // At several endpoints.
  static Result<Listener> open(const std::vector<Endpoint>& at);
  // At a unix path, for the processes of a user: the user owns the socket. Root need not own it.
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

  // Waits for a connection. Fails after stop(), and if descriptors or memory have run out. The peer does not
  // see the latter, so the caller must not leave it waiting. `silence`: see connect_to().
  Result<Fd> accept(std::chrono::seconds silence) const;
  // The next connection that is already there, or an empty Fd.
  Result<Fd> accept_waiting() const;
  // For who waits for other things too: adds its descriptors, of which one is readable when accept_waiting()
  // has a connection, or after stop().
  void add_to(std::vector<pollfd>& all) const;
  // Ends accept() in other threads, and all later calls of it.
  void stop() const;
  // Whether stop() was called, or the process that hands over connections has closed the socket.
  bool stopped() const;
  // For a caller that goes on listening without descriptors: waits for a moment, or until stop().
  void back_off() const;
  // The first endpoint that it listens at. If its port was 0, it is now the port that the kernel chose.
  const Endpoint& where() const { return where_.front(); }
  // All endpoints that it listens at, with ports as in where().
  const std::vector<Endpoint>& everywhere() const { return where_; }
  // Text for people: the endpoints, the addresses of a name, and the addresses that were left out.
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

// Hands a connection over to the process at the other end of the unix socket `to`. This process still has to
// close its own descriptor.
Result<> hand_over(int to, const Fd& connection);

}  // namespace wherry
