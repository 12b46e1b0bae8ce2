#include "qemu-glue/daemon/libvirt_access.h"

#include "transport/socket/connect.h"

namespace wherry::daemon {
namespace {

constexpr std::chrono::seconds kConnect{10};

}  // namespace

Result<> may_use_libvirt(const Caller& caller) {
  if (caller.libvirt == LibvirtAccess::none) {
    return fail(
        "{} is not allowed to use this host's libvirt: its wherry.toml has to say libvirt = \"manage\" for "
        "that "
        "peer",
        caller.host);
  }
  return caller.check_root("libvirt");
}

Result<LibvirtConnection> connect_libvirt(const Config& config, const Caller& caller) {
  const bool read_only = caller.libvirt == LibvirtAccess::read_only;
  const std::string path = config.libvirt + (read_only ? "-ro" : "");
  auto libvirt = connect_to({.path = path, .host = {}, .port = 0}, kConnect, kConnect);
  if (!libvirt) return fail("{}: does libvirt run on this host?", libvirt.error().message);
  return LibvirtConnection{std::move(*libvirt), read_only};
}

}  // namespace wherry::daemon
