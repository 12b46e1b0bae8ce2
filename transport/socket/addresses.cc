#include "transport/socket/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>

namespace wherry {
namespace {

void add_once(std::vector<std::string>& all, std::string address) {
  if (!address.empty() && std::find(all.begin(), all.end(), address) == all.end())
    all.push_back(std::move(address));
}

}  // namespace

std::string numeric_address(const sockaddr* address, socklen_t length) {
  char host[NI_MAXHOST];
  if (getnameinfo(address, length, host, sizeof host, nullptr, 0, NI_NUMERICHOST) != 0) return {};
  std::string text = host;
  if (text.starts_with("::ffff:")) text.erase(0, 7);
  return text;
}

std::optional<std::string> numeric(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return std::nullopt;
  std::string address = numeric_address(found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

Result<std::vector<std::string>> addresses_of(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0)
    return fail("cannot resolve {}: {}", host, gai_strerror(error));
  std::vector<std::string> all;
  for (const addrinfo* at = found; at; at = at->ai_next)
    add_once(all, numeric_address(at->ai_addr, at->ai_addrlen));
  freeaddrinfo(found);
  return all;
}

std::vector<std::string> own_addresses() {
  std::vector<std::string> all;
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) != 0) return all;
  for (const ifaddrs* at = interfaces; at; at = at->ifa_next) {
    if (!at->ifa_addr) continue;
    if (at->ifa_addr->sa_family == AF_INET)
      add_once(all, numeric_address(at->ifa_addr, sizeof(sockaddr_in)));
    else if (at->ifa_addr->sa_family == AF_INET6)
      add_once(all, numeric_address(at->ifa_addr, sizeof(sockaddr_in6)));
  }
  freeifaddrs(interfaces);
  return all;
}

std::string in_uri(const std::string& host) {
  if (host.find(':') == std::string::npos) return host;
  std::string address = host;
  if (const size_t percent = address.find('%'); percent != std::string::npos)
    address.insert(percent + 1, "25");
  return "[" + address + "]";
}

bool is_loopback_address(const std::string& address) {
  in_addr v4{};
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, address.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool lacks_interface(const std::string& address) {
  in6_addr v6{};
  return inet_pton(AF_INET6, address.c_str(), &v6) == 1 && IN6_IS_ADDR_LINKLOCAL(&v6);
}

bool is_loopback_name(const std::string& host) {
  if (host == "localhost" || is_loopback_address(host)) return false;
  const auto all = addresses_of(host);
  return all && !all->empty() && std::all_of(all->begin(), all->end(), is_loopback_address);
}

std::string unreachable_because(const std::string& host) {
  if (!is_loopback_name(host)) return {};
  return fmt::format(
      "other hosts cannot reach {0}: on this host it is a loopback address. Give an address of this host "
      "instead, or correct {0} in /etc/hosts",
      host);
}

}  // namespace wherry
