// Whether the QEMU that libvirt starts here can create its sockets for incoming migrations.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "qemu-glue/doctor/finding.h"

namespace wherry::doctor {

struct QemuUser {
  uid_t user = 0;
  gid_t group = 0;
};

// The user as which libvirt runs QEMU, from libvirt's capabilities XML; nothing if it does not have it.
std::optional<QemuUser> qemu_user(const std::string& capabilities);
// `group`: wherryd's group in its configuration; can be empty.
Finding qemu_user(const QemuUser& qemu, const std::string& group);

// Asks the libvirt at that socket. Waits some seconds at most.
Findings examine_qemu_user(const std::string& socket, const std::string& group);

}  // namespace wherry::doctor
