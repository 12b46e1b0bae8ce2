#include "qemu-glue/domain/libvirt.h"

#include <libvirt/virterror.h>

#include "base/printable.h"

namespace wherry::domain {
namespace {

// As in virsh: six probes, five seconds apart.
constexpr int kKeepaliveSeconds = 5;
constexpr unsigned kKeepaliveCount = 6;

}  // namespace

Result<Connection> connect(const std::string& uri) {
  // Without it, libvirt prints every error itself.
  virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
  Connection connection(virConnectOpenAuth(uri.c_str(), virConnectAuthPtrDefault, 0));
  if (!connection) return fail("cannot connect to {}: {}", uri, last_error());
  // Not all drivers support it; failure is ignored.
  virConnectSetKeepAlive(connection.get(), kKeepaliveSeconds, kKeepaliveCount);
  return connection;
}

Result<Domain> find_domain(const Connection& connection, const std::string& name_or_uuid) {
  Domain domain(virDomainLookupByUUIDString(connection.get(), name_or_uuid.c_str()));
  if (!domain) domain.reset(virDomainLookupByName(connection.get(), name_or_uuid.c_str()));
  if (!domain) return fail("{}", last_error());
  return domain;
}

std::string last_error() {
  const char* message = virGetLastErrorMessage();
  return message ? printable(message) : "libvirt gave no reason";
}

}  // namespace wherry::domain
