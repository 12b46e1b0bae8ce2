// Whether the QEMU that libvirt starts here can create its sockets for incoming migrations.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "qemu-glue/doctor/finding.h"

namespace wherry::doctor {

// The user as which libvirt runs QEMU, from libvirt's capabilities XML; nothing if it does not have it.
std::optional<uid_t> qemu_user(const std::string& capabilities);
// `configured`: qemu_user in wherryd's configuration; can be empty.
Finding qemu_user(uid_t qemu, const std::string& configured);

// Asks the libvirt at that socket. Waits some seconds at most.
Findings examine_qemu_user(const std::string& socket, const std::string& configured);

}  // namespace wherry::doctor
