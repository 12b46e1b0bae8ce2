#include "transport/socket/resolve.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "base/errno.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "base/start_thread.h"
#include "base/wait_ready.h"

namespace wherry {
namespace {

Result<AddrInfo> resolve(const Endpoint& at, bool passive) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(at.port);
  const char* host = at.host.empty() ? nullptr : at.host.c_str();
  int error = getaddrinfo(host, port.c_str(), &hints, &found);
  if (error == EAI_NONAME || error == EAI_ADDRFAMILY || error == EAI_NODATA) {
    // AI_ADDRCONFIG leaves out loopback addresses if no other address is configured.
    hints.ai_flags &= ~AI_ADDRCONFIG;
    error = getaddrinfo(host, port.c_str(), &hints, &found);
  }
  if (error != 0) {
    // getaddrinfo() needs descriptors, for files and name servers, and does not say if there are none.
    const Fd one(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return fail("cannot resolve {}: {}", at.host, one ? gai_strerror(error) : reason(errno));
  }
  return AddrInfo(found);
}

}  // namespace

Result<AddrInfo> resolve_to_listen(const Endpoint& at) {
  return resolve(at, true);
}

// getaddrinfo() cannot be cancelled and takes as long as the name server. So it has its own thread, which is
// left running if `cancel` is raised. Otherwise it is joined: its descriptor is closed when this returns.
Result<AddrInfo> resolve_to_connect(const Endpoint& at, const Event* cancel) {
  if (!cancel) return resolve(at, false);
  struct Lookup {
    Event done;
    Mutex mutex;
    Result<AddrInfo> found WHERRY_GUARDED_BY(mutex);
  };
  auto lookup = std::make_shared<Lookup>();
  if (const int error = lookup->done.error()) return fail("cannot resolve {}: {}", at.host, reason(error));
  auto looks = start_thread("resolve", [lookup, at] {
    auto found = resolve(at, false);
    Lock lock(lookup->mutex);
    lookup->found = std::move(found);
    lookup->done.raise();
  });
  if (!looks) return fail("cannot resolve {}: {}", at.host, looks.error().message);
  std::array<pollfd, 2> ready{pollfd{lookup->done.fd(), POLLIN, 0}, pollfd{cancel->fd(), POLLIN, 0}};
  auto waited = wait_ready(ready);
  if (!waited || !ready[0].revents) {
    looks->detach();
    return waited ? fail("cannot resolve {}: {}", at.host, reason(ECANCELED)) : pass_on(waited);
  }
  looks->join();
  Lock lock(lookup->mutex);
  return std::move(lookup->found);
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() > kLongestSocketPath)
    return fail("the socket path {} is longer than {} bytes", path, kLongestSocketPath);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

std::string of_address(std::string why, const std::string& address, const Endpoint& at) {
  return address == at.host ? std::move(why) : fmt::format("{} ({})", why, address);
}

}  // namespace wherry
