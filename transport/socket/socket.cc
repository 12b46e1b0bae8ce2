#include "transport/socket/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>

#include "transport/socket/addresses.h"
#include "base/start_thread.h"
#include "base/wait_ready.h"

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;
// Until who has no room for one more looks again.
constexpr std::chrono::milliseconds kBackOff{100};

struct AddrInfoFree {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using AddrInfo = std::unique_ptr<addrinfo, AddrInfoFree>;

Result<AddrInfo> resolve(const Endpoint& at, bool passive) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(at.port);
  const char* host = at.host.empty() ? nullptr : at.host.c_str();
  int error = getaddrinfo(host, port.c_str(), &hints, &found);
  if (error == EAI_NONAME || error == EAI_ADDRFAMILY || error == EAI_NODATA) {
    // AI_ADDRCONFIG leaves out loopback addresses where no other address is configured.
    hints.ai_flags &= ~AI_ADDRCONFIG;
    error = getaddrinfo(host, port.c_str(), &hints, &found);
  }
  if (error != 0) {
    // It reads files and asks name servers, and does not say if it has no descriptor for that.
    const Fd one(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return fail("cannot resolve {}: {}", at.host, one ? gai_strerror(error) : reason(errno));
  }
  return AddrInfo(found);
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() > kLongestSocketPath)
    return fail("the socket path {} is longer than {} bytes", path, kLongestSocketPath);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// getaddrinfo() cannot be ended, and takes what a name server takes: so it has a thread that may be left.
Result<AddrInfo> resolve(const Endpoint& at, const Event* cancel) {
  if (!cancel) return resolve(at, false);
  struct Lookup {
    Event done;
    std::mutex mutex;
    Result<AddrInfo> found;
  };
  auto lookup = std::make_shared<Lookup>();
  if (const int error = lookup->done.error()) return fail("cannot resolve {}: {}", at.host, reason(error));
  auto looks = start_thread([lookup, at] {
    auto found = resolve(at, false);
    std::lock_guard lock(lookup->mutex);
    lookup->found = std::move(found);
    lookup->done.raise();
  });
  if (!looks) return fail("cannot resolve {}: {}", at.host, looks.error().message);
  looks->detach();
  std::array<pollfd, 2> ready{pollfd{lookup->done.fd(), POLLIN, 0}, pollfd{cancel->fd(), POLLIN, 0}};
  if (auto waited = wait_ready(ready); !waited) return pass_on(waited);
  if (!ready[0].revents) return fail("cannot resolve {}: {}", at.host, reason(ECANCELED));
  std::lock_guard lock(lookup->mutex);
  return std::move(lookup->found);
}

double seconds_of(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
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

// What an address that is tried has of the time: the same as each of those behind it.
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
      return fail("cannot connect to {}: who listens there has taken nobody for {} s: that process is stuck",
                  to.str(), seconds_of(timeout));
    return fail("cannot connect to {}: {}", to.str(), reason(errno));
  }
  wait = {};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  return fd;
}

bool same_address(const addrinfo& a, const addrinfo& b) {
  return a.ai_addrlen == b.ai_addrlen && std::memcmp(a.ai_addr, b.ai_addr, a.ai_addrlen) == 0;
}

uint16_t& port_of(sockaddr* address) {
  return address->sa_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(address)->sin6_port
                                        : reinterpret_cast<sockaddr_in*>(address)->sin_port;
}

// Listens at one address; an errno where it cannot be. `port` becomes the one that it has then.
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

// "WHY (ADDRESS)" of an address that is not as the user has it.
std::string of_address(std::string why, const std::string& address, const Endpoint& at) {
  return address == at.host ? std::move(why) : fmt::format("{} ({})", why, address);
}

struct HostSockets {
  std::vector<Fd> fds;
  std::vector<std::string> addresses;  // those that they listen at
  std::string left_out;                // why not at the others
  uint16_t port = 0;
};

// Listens at each address of a host, at the same port. As QEMU does, it leaves out those that this host has
// not (now), as long as there is another; but not one whose port is taken, where peers would find somebody
// else. `alone`: "::" may take IPv4 as well.
Result<HostSockets> listen_at_all(const Endpoint& at, const addrinfo& first, bool alone) {
  std::vector<const addrinfo*> each;
  for (const addrinfo* next = &first; next; next = next->ai_next) {
    // glibc gives 127.0.0.1 twice where /etc/hosts has localhost for ::1 as well.
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

// SIOCUNIXFILE of <linux/un.h>, which does not go with <sys/un.h>.
constexpr unsigned long kFileOfSocket = SIOCPROTOPRIVATE;

// Gives the file of a socket that has a path to a user. By its own descriptor: at the path there may be
// something else by now, if the directory is somebody's who wants that to be his.
Result<> give_to(const Fd& socket, const std::string& path, uid_t user) {
  if (user == ::geteuid() || user == 0) return {};
  const Fd file(::ioctl(socket.get(), kFileOfSocket));
  if (file && ::fchownat(file.get(), "", user, static_cast<gid_t>(-1), AT_EMPTY_PATH) == 0) return {};
  return fail("cannot give {} to user {}, who is to connect there: {} (that takes root)", path, user,
              reason(errno));
}

// Drops what is sent already from the front of the pieces.
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

// 0, or why not all was sent.
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

// Room for one descriptor beside a message.
struct DescriptorMessage {
  alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(int))];
};

// Whether such an error of a call that would not wait says that nobody is there, yet or any more. (A socket
// that was shut has EINVAL.)
bool is_nobody(int error) {
  return error == EAGAIN || error == EINTR || error == ECONNABORTED || error == ECONNRESET || error == EINVAL;
}

// The next descriptor that is already there, or an empty Fd.
Result<Fd> receive_descriptor(int from) {
  char byte = 0;
  iovec one{&byte, 1};
  DescriptorMessage control{};
  msghdr header{};
  header.msg_iov = &one;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof control.bytes;
  const ssize_t got = ::recvmsg(from, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && !is_nobody(errno))
    return fail("cannot take a connection that is handed over: {}", reason(errno));
  if (got <= 0) return Fd();
  Fd taken;
  if (const cmsghdr* item = CMSG_FIRSTHDR(&header);
      item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(item), sizeof fd);
    taken = Fd(fd);
  }
  // The kernel has closed what it found no number for.
  if (header.msg_flags & MSG_CTRUNC)
    return fail("cannot take a connection that is handed over: {}", reason(EMFILE));
  return taken;
}

// As the kernel answers such a question.
uint64_t queued(int fd, unsigned long question) {
  int bytes = 0;
  return ::ioctl(fd, question, &bytes) == 0 && bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
}

}  // namespace

std::string reason(int error) {
  std::string text = std::system_category().message(error);
  switch (error) {
    case EMFILE:
      return text + " (ulimit -n, LimitNOFILE)";
    case ENFILE:
      return text + " (sysctl fs.file-max)";
    default:
      return text;
  }
}

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

bool Endpoint::is_loopback() const {
  return is_unix() || host == "localhost" || is_loopback_address(host);
}

std::string Endpoint::str() const {
  if (is_unix()) return path;
  return fmt::format("{}:{}", in_uri(host), port);
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

Result<Fd> connect_to(const Endpoint& to, std::chrono::milliseconds timeout, std::chrono::seconds silence,
                      const Event* cancel) {
  if (to.is_unix()) return connect_unix(to, timeout);
  auto found = resolve(to, cancel);
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

Result<> Listener::add_path(const Endpoint& at, uid_t user) {
  auto address = unix_address(at.path);
  if (!address) return pass_on(address);
  struct stat left {};
  if (::lstat(at.path.c_str(), &left) == 0) {
    if (!S_ISSOCK(left.st_mode)) return fail("{} exists and is no socket", at.path);
    // Only a path that nobody listens on any more is replaced. A full queue (EAGAIN) is somebody's.
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return fail("cannot make a socket: {}", reason(errno));
    const bool there = ::connect(probe.get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) == 0;
    if (there || errno == EAGAIN) return fail("{} is in use: another process listens there", at.path);
    if (errno != ECONNREFUSED) return fail("cannot tell whether {} is in use: {}", at.path, reason(errno));
    ::unlink(at.path.c_str());
  }
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail("cannot make a socket: {}", reason(errno));
  // The mode is set on the socket before it has a name, so nobody else can connect in between.
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

// `alone`: nothing else is listened on.
Result<> Listener::add_host(Endpoint at, bool alone) {
  auto found = resolve(at, true);
  if (!found) return pass_on(found);
  auto sockets = listen_at_all(at, **found, alone);
  // What the kernel gives at one address may be taken at another.
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
  for (const Fd& fd : fds_) ready.push_back({fd.get(), POLLIN, 0});
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

Result<Fd> Listener::accept_waiting() const {
  if (handed_over_) return receive_descriptor(fds_.front().get());
  for (const Fd& listening : fds_) {
    // accept4() finds that there is no descriptor before it finds that nobody calls.
    pollfd ready{listening.get(), POLLIN, 0};
    auto calls = wait_ready({&ready, 1}, Clock::time_point());
    if (!calls) return pass_on(calls);
    if (!*calls) continue;
    Fd fd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd) return fd;
    if (!is_nobody(errno)) return fail("cannot take who calls at {}: {}", told_, reason(errno));
  }
  return Fd();
}

Listener Listener::handed_over(Fd from) {
  Listener listener;
  listener.fds_.push_back(std::move(from));
  listener.where_.emplace_back();
  listener.handed_over_ = true;
  return listener;
}

Result<> hand_over(int to, const Fd& connection) {
  char byte = 0;
  iovec one{&byte, 1};
  DescriptorMessage control{};
  msghdr header{};
  header.msg_iov = &one;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof control.bytes;
  cmsghdr* item = CMSG_FIRSTHDR(&header);
  item->cmsg_level = SOL_SOCKET;
  item->cmsg_type = SCM_RIGHTS;
  item->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = connection.get();
  std::memcpy(CMSG_DATA(item), &fd, sizeof fd);
  if (::sendmsg(to, &header, MSG_NOSIGNAL) != 1)
    return fail("cannot hand over a connection: {}", reason(errno));
  return {};
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
