// A plain relay of bytes between unix sockets. Wherry is compared with it and shares no code with it. It
// connects once for each connection that it accepts, in that order, with one thread for each direction. It
// passes on the end of a stream in its direction; an error in either direction ends both.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace wherry::test {

class ByteRelay {
 public:
  // cut() is called when `most` bytes of the first connection have gone forward.
  ByteRelay(const std::string& at, const std::string& to, uint64_t most = UINT64_MAX) : to_(to) {
    at_path(::bind, listener_, at);
    ::listen(listener_, 64);
    acceptor_ = std::thread([this, most] { accept(most); });
  }
  ~ByteRelay() {
    cut();
    acceptor_.join();
    for (std::thread& pump : pumps_) pump.join();
    for (int socket : sockets_) ::close(socket);
  }
  // Ends all connections at once, with the bytes that are on their way, as if its process were killed.
  void cut() {
    Lock lock(mutex_);
    cut_ = true;
    for (int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }

 private:
  static int at_path(auto* call, int socket, const std::string& path) {
    sockaddr_un address{AF_UNIX, {}};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return call(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  void accept(uint64_t most) {
    for (int near; (near = ::accept(listener_, nullptr, nullptr)) >= 0; most = UINT64_MAX) {
      const int far = ::socket(AF_UNIX, SOCK_STREAM, 0);
      const bool dialled = at_path(::connect, far, to_) == 0;
      Lock lock(mutex_);
      sockets_.insert(sockets_.end(), {near, far});
      if (cut_ || !dialled) end(near, far);
      pumps_.emplace_back([this, near, far, most] { pump(near, far, most); });
      pumps_.emplace_back([this, near, far] { pump(far, near, UINT64_MAX); });
    }
  }
  void pump(int from, int to, uint64_t left) {
    char bytes[16384];
    for (ssize_t got, sent; (got = ::recv(from, bytes, sizeof bytes, 0)) != 0;) {
      if (got < 0 || cut_) return end(from, to);
      const auto all = static_cast<ssize_t>(std::min(left, static_cast<uint64_t>(got)));
      for (ssize_t done = 0; done < all; done += sent)
        if ((sent = ::send(to, bytes + done, all - done, MSG_NOSIGNAL)) < 0) return end(from, to);
      if ((left -= all) == 0) return cut();
    }
    ::shutdown(to, SHUT_WR);
  }
  static void end(int one, int other) { ::shutdown(one, SHUT_RDWR), ::shutdown(other, SHUT_RDWR); }
  const std::string to_;
  const int listener_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
  Mutex mutex_;
  std::vector<int> sockets_ WHERRY_GUARDED_BY(mutex_){listener_};
  std::vector<std::thread> pumps_ WHERRY_GUARDED_BY(mutex_);
  std::atomic<bool> cut_ = false;
  std::thread acceptor_;
};

}  // namespace wherry::test
