// RAII for libvirt's handles, and its errors as values. Thread-safe, as libvirt is.
//
// A connection to another host is kept alive, and noticed to be dead, only while an EventLoop runs.
#pragma once

#include <libvirt/libvirt.h>

#include <memory>
#include <string>

#include "base/result.h"

namespace wherry::domain {

struct Release {
  void operator()(virConnectPtr connection) const { virConnectClose(connection); }
  void operator()(virDomainPtr domain) const { virDomainFree(domain); }
};
using Connection = std::unique_ptr<virConnect, Release>;
using Domain = std::unique_ptr<virDomain, Release>;

Result<Connection> connect(const std::string& uri);
Result<Domain> find_domain(const Connection& connection, const std::string& name_or_uuid);

// libvirt's message on this thread's last failed call.
std::string last_error();

}  // namespace wherry::domain
