// Numeric addresses of hosts, as getnameinfo(3) writes them: a link-local address with its interface
// (fe80::1%eth0), an IPv4-mapped IPv6 address as the IPv4 address. Thread-safe.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace wherry {

// Empty if it is not an address.
std::string numeric_address(const sockaddr* address, socklen_t length);

// An address as numeric_address() writes it; nothing for a name. Asks nobody.
std::optional<std::string> numeric(const std::string& host);

// All addresses of a name, as this host resolves it, each once; of an address, the address itself. Blocks for
// as long as the name server takes.
Result<std::vector<std::string>> addresses_of(const std::string& host);
// The addresses of this host's interfaces, including loopback.
std::vector<std::string> own_addresses();

// A host as it is written in a URI: an IPv6 address in brackets, its interface after %25 (RFC 6874).
std::string in_uri(const std::string& host);

// 127.0.0.0/8 and ::1.
bool is_loopback_address(const std::string& address);
// An address of fe80::/10 without the interface that is needed to use it.
bool lacks_interface(const std::string& address);
// Whether a name has only loopback addresses, so that other hosts cannot reach this one by it. Debian's
// installer gives a host's own name the address 127.0.1.1 in /etc/hosts.
bool is_loopback_name(const std::string& host);
// For a host to listen on: if is_loopback_name(), a message that says so and what to do; else empty.
std::string unreachable_because(const std::string& host);

}  // namespace wherry
