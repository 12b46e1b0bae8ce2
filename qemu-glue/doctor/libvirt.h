// Whether libvirt can be reached where wherryd looks for it.
//
// Connects as any client does; with socket activation, systemd then starts libvirt.
#pragma once

#include <string>

#include "qemu-glue/doctor/finding.h"

namespace wherry::doctor {

// `socket`: libvirt's socket in wherryd's configuration. `modular`: the socket of virtqemud.
Finding libvirt(const std::string& socket, const std::string& modular = "/run/libvirt/virtqemud-sock");

}  // namespace wherry::doctor
