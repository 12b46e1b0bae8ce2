// Addresses of hosts, in numbers, as getnameinfo(3) writes them: a link-local one with its interface
// (fe80::1%eth0), an IPv4 address in an IPv6 one as that. Thread-safe.
#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace wherry {

// Empty for what is no address.
std::string numeric_address(const sockaddr* address, socklen_t length);

// All that a name stands for on this host, each once; of an address that itself. Takes what a name server
// takes.
Result<std::vector<std::string>> addresses_of(const std::string& host);
// Those of this host's interfaces, loopback ones among them.
std::vector<std::string> own_addresses();

// A host as a URI has it: an IPv6 address in brackets, its interface behind %25 (RFC 6874).
std::string in_uri(const std::string& host);

// 127.0.0.0/8 and ::1.
bool is_loopback_address(const std::string& address);
// An address of fe80::/10 that does not say of which interface, and so is no place.
bool lacks_interface(const std::string& address);
// Whether a name stands for loopback addresses alone, so that no other host reaches this one by it. Debian's
// installer gives a host's own name 127.0.1.1 in /etc/hosts.
bool is_loopback_name(const std::string& host);
// Of a host that is listened on: says that it is such a name, and what to do; empty if it is not.
std::string unreachable_because(const std::string& host);

}  // namespace wherry
