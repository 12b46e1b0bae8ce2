#include "qemu-glue/doctor/libvirt.h"

#include <fmt/core.h>

#include "qemu-glue/doctor/unix_door.h"

namespace wherry::doctor {

Finding libvirt(const std::string& socket, const std::string& modular) {
  const UnixDoor door = unix_door(socket);
  if (door == UnixDoor::open) return ok("libvirt", socket + " answers");
  if (door == UnixDoor::forbidden)
    return note("libvirt", "this user cannot connect to " + socket, "run wherry doctor as root");
  const std::string found =
      door == UnixDoor::absent ? "there is no " + socket : "nobody answers at " + socket;
  if (socket != modular && unix_door(modular) == UnixDoor::open) {
    return problem("libvirt", fmt::format("{}, but {} answers", found, modular),
                   fmt::format("libvirt = \"qemu+unix:///system?socket={}\" in wherry.toml", modular));
  }
  return problem("libvirt", found, "systemctl start libvirtd (or virtqemud.socket)");
}

}  // namespace wherry::doctor
