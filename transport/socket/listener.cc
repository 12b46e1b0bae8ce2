#include "transport/socket/listener.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "base/errno.h"
#include "base/wait_ready.h"
#include "transport/socket/addresses.h"
#include "transport/socket/resolve.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;
// How long back_off() waits.
constexpr std::chrono::milliseconds kBackOff{100};

bool same_address(const addrinfo& a, const addrinfo& b) {
  return a.ai_addrlen == b.ai_addrlen && std::memcmp(a.ai_addr, b.ai_addr, a.ai_addrlen) == 0;
}

uint16_t& port_of(sockaddr* address) {
  return address->sa_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(address)->sin6_port
                                        : reinterpret_cast<sockaddr_in*>(address)->sin_port;
}

// Listens at one address. Returns 0 or an errno. Sets `port` to the port that it listens on.
int listen_at(const addrinfo& at, bool takes_ipv4, uint16_t& port, Fd& fd) {
  fd = Fd(::socket(at.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno;
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (at.ai_family == AF_INET6 && !takes_ipv4)
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  port_of(at.ai_addr) = htons(port);
  if (::bind(fd.get(), at.ai_addr, at.ai_addrlen) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) return errno;
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length);
  port = ntohs(port_of(reinterpret_cast<sockaddr*>(&bound)));
  return 0;
}

struct HostSockets {
  std::vector<Fd> fds;
  std::vector<std::string> addresses;  // that they listen on
  std::string left_out;                // for each other address of the host, why not there
  uint16_t port = 0;
};

// Listens at each address of a host, on the same port. Like QEMU, it leaves out addresses that this host does
// not have now, if there is at least one other. An address whose port is in use is an error, because peers
// would reach another program there. `alone`: if the host is "::", listen on IPv4 as well.
Result<HostSockets> listen_at_all(const Endpoint& at, const addrinfo& first, bool alone) {
  std::vector<const addrinfo*> each;
  for (const addrinfo* next = &first; next; next = next->ai_next) {
    // glibc returns 127.0.0.1 twice if /etc/hosts has localhost for ::1 as well.
    const auto same = [next](const addrinfo* other) { return same_address(*next, *other); };
    if (std::none_of(each.begin(), each.end(), same)) each.push_back(next);
  }
  HostSockets sockets{.fds = {}, .addresses = {}, .left_out = {}, .port = at.port};
  for (const addrinfo* next : each) {
    const std::string address = numeric_address(next->ai_addr, next->ai_addrlen);
    Fd fd;
    const int error = listen_at(*next, alone && each.size() == 1, sockets.port, fd);
    if (error == 0) {
      sockets.fds.push_back(std::move(fd));
      sockets.addresses.push_back(address);
    } else if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
      sockets.left_out += (sockets.left_out.empty() ? "" : ", ") + of_address(reason(error), address, at);
    } else {
      return fail("cannot listen on {}: {}", at.str(), of_address(reason(error), address, at));
    }
  }
  if (sockets.fds.empty()) return fail("cannot listen on {}: {}", at.str(), sockets.left_out);
  return sockets;
}

// SIOCUNIXFILE of <linux/un.h>, which cannot be included together with <sys/un.h>.
constexpr unsigned long kFileOfSocket = SIOCPROTOPRIVATE;

// Makes a user the owner of a unix socket's file. It goes by the socket, not by the path: a user who can
// write to the directory may have put another file there by now, to become its owner.
Result<> give_to(const Fd& socket, const std::string& path, uid_t user) {
  if (user == ::geteuid() || user == 0) return {};
  const Fd file(::ioctl(socket.get(), kFileOfSocket));
  if (file && ::fchownat(file.get(), "", user, static_cast<gid_t>(-1), AT_EMPTY_PATH) == 0) return {};
  return fail("cannot give {} to user {}, who is to connect there: {} (this needs root)", path, user,
              reason(errno));
}

// A message of one byte, with room for one descriptor in its control data.
struct DescriptorMessage {
  char byte = 0;
  iovec data{};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
};

// The message as sendmsg() and recvmsg() take it; it refers to `message`.
msghdr header_of(DescriptorMessage& message) {
  message.data = {&message.byte, 1};
  msghdr header{};
  header.msg_iov = &message.data;
  header.msg_iovlen = 1;
  header.msg_control = message.control;
  header.msg_controllen = sizeof message.control;
  return header;
}

// Whether this errno of a non-blocking call means that nobody has come yet, or that the peer has left. (A
// socket that was shut gives EINVAL.)
bool is_nobody(int error) {
  return error == EAGAIN || error == EINTR || error == ECONNABORTED || error == ECONNRESET || error == EINVAL;
}

// The next descriptor that is already there, or an empty Fd.
Result<Fd> receive_descriptor(int from) {
  DescriptorMessage message;
  msghdr header = header_of(message);
  const ssize_t got = ::recvmsg(from, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && !is_nobody(errno))
    return fail("cannot accept a connection that is handed over: {}", reason(errno));
  if (got <= 0) return Fd();
  Fd taken;
  if (const cmsghdr* item = CMSG_FIRSTHDR(&header);
      item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(item), sizeof fd);
    taken = Fd(fd);
  }
  // If this process has no descriptor left, the kernel has closed the connection.
  if (header.msg_flags & MSG_CTRUNC)
    return fail("cannot accept a connection that is handed over: {}", reason(EMFILE));
  return taken;
}

}  // namespace

Result<Listener> Listener::open(const Endpoint& at) {
  return open(std::vector{at});
}

Result<Listener> Listener::open(const std::vector<Endpoint>& at) {
  Listener listener;
  for (const Endpoint& each : at) {
    auto added =
        each.is_unix() ? listener.add_path(each, ::geteuid()) : listener.add_host(each, at.size() == 1);
    if (!added) return pass_on(added);
  }
  return listener;
}

Result<Listener> Listener::open_for(const Endpoint& at, uid_t user) {
  Listener listener;
  if (auto added = listener.add_path(at, user); !added) return pass_on(added);
  return listener;
}

Listener Listener::handed_over(Fd from) {
  Listener listener;
  listener.fds_.push_back(std::move(from));
  listener.where_.emplace_back();
  listener.handed_over_ = true;
  return listener;
}

Result<> Listener::add_path(const Endpoint& at, uid_t user) {
  auto address = unix_address(at.path);
  if (!address) return pass_on(address);
  struct stat left {};
  if (::lstat(at.path.c_str(), &left) == 0) {
    if (!S_ISSOCK(left.st_mode)) return fail("{} exists and is not a socket", at.path);
    // Only a path that nobody listens on any more is replaced. With EAGAIN, somebody listens: the queue is
    // full.
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return fail("cannot make a socket: {}", reason(errno));
    const bool there = ::connect(probe.get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) == 0;
    if (there || errno == EAGAIN) return fail("{} is in use: another process listens there", at.path);
    if (errno != ECONNREFUSED) return fail("cannot tell whether {} is in use: {}", at.path, reason(errno));
    ::unlink(at.path.c_str());
  }
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail("cannot make a socket: {}", reason(errno));
  // The mode is set before the socket has a path, so nobody else can connect in between.
  ::fchmod(fd.get(), 0600);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) != 0)
    return fail("cannot listen on {}: {}", at.path, reason(errno));
  fds_.push_back(std::move(fd));
  where_.push_back(at);
  told_ = at.str();
  if (auto given = give_to(fds_.back(), at.path, user); !given) return given;
  if (::listen(fds_.back().get(), SOMAXCONN) != 0)
    return fail("cannot listen on {}: {}", at.path, reason(errno));
  return {};
}

// `alone`: it is the only endpoint to listen on.
Result<> Listener::add_host(Endpoint at, bool alone) {
  auto found = resolve_to_listen(at);
  if (!found) return pass_on(found);
  auto sockets = listen_at_all(at, **found, alone);
  // A port that the kernel chose at one address may be in use at another.
  constexpr int kTries = 10;
  for (int tries = 1; !sockets && at.port == 0 && tries < kTries; ++tries)
    sockets = listen_at_all(at, **found, alone);
  if (!sockets) return pass_on(sockets);
  at.port = sockets->port;
  std::string behind;
  for (const std::string& address : sockets->addresses) {
    if (address != at.host) behind += (behind.empty() ? "" : ", ") + address;
  }
  if (!sockets->left_out.empty()) behind += (behind.empty() ? "" : "; ") + ("not: " + sockets->left_out);
  told_ += (told_.empty() ? "" : ", ") + at.str() + (behind.empty() ? "" : fmt::format(" ({})", behind));
  std::move(sockets->fds.begin(), sockets->fds.end(), std::back_inserter(fds_));
  where_.push_back(std::move(at));
  return {};
}

Listener::~Listener() {
  if (!fds_.empty() && where().is_unix()) ::unlink(where().path.c_str());
}

Result<Fd> Listener::accept(std::chrono::seconds silence) const {
  std::vector<pollfd> ready;
  add_to(ready);
  for (;;) {
    auto fd = accept_waiting();
    if (!fd) return fd;
    if (*fd) {
      if (!where().is_unix()) tune_tcp(fd->get(), silence);
      return fd;
    }
    if (auto waited = wait_ready(ready); !waited) return pass_on(waited);
    for (const pollfd& each : ready) {
      if (each.revents & (POLLHUP | POLLERR | POLLNVAL)) return fail("no longer listening on {}", told_);
    }
  }
}

void Listener::add_to(std::vector<pollfd>& all) const {
  for (const Fd& fd : fds_) all.push_back({fd.get(), POLLIN, 0});
}

Result<Fd> Listener::accept_waiting() const {
  if (handed_over_) return receive_descriptor(fds_.front().get());
  for (const Fd& listening : fds_) {
    // If no descriptor is left, accept4() fails even if nobody has connected. So poll first.
    pollfd ready{listening.get(), POLLIN, 0};
    auto calls = wait_ready({&ready, 1}, Clock::time_point());
    if (!calls) return pass_on(calls);
    if (!*calls) continue;
    Fd fd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd) return fd;
    if (!is_nobody(errno)) return fail("cannot accept a connection on {}: {}", told_, reason(errno));
  }
  return Fd();
}

void Listener::stop() const {
  for (const Fd& fd : fds_) ::shutdown(fd.get(), SHUT_RDWR);
}

bool Listener::stopped() const {
  return takes_nothing(fds_.front().get());
}

void Listener::back_off() const {
  pollfd shut{fds_.front().get(), 0, 0};
  (void)wait_ready({&shut, 1}, std::chrono::steady_clock::now() + kBackOff);
}

Result<> hand_over(int to, const Fd& connection) {
  DescriptorMessage message;
  msghdr header = header_of(message);
  cmsghdr* item = CMSG_FIRSTHDR(&header);
  item->cmsg_level = SOL_SOCKET;
  item->cmsg_type = SCM_RIGHTS;
  item->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = connection.get();
  std::memcpy(CMSG_DATA(item), &fd, sizeof fd);
  // A process that takes none must not hold up all others.
  if (::sendmsg(to, &header, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    if (errno == EAGAIN)
      return fail("the process of this migration takes no more connections (does it hang?)");
    return fail("cannot hand over a connection: {}", reason(errno));
  }
  return {};
}

}  // namespace wherry
