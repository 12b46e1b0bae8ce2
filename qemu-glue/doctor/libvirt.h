// Whether libvirt can be reached where wherryd looks for it.
//
// Connects to it, as any client does: systemd then starts a libvirt that it has listened for.
#pragma once

#include <string>

#include "qemu-glue/doctor/finding.h"

namespace wherry::doctor {

// `socket`: where wherryd is told that it is. `modular`: where a virtqemud listens.
Finding libvirt(const std::string& socket, const std::string& modular = "/run/libvirt/virtqemud-sock");

}  // namespace wherry::doctor
