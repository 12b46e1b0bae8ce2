// Whether the QEMU that libvirt starts here can make its sockets where a migration comes.
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

// As whom a libvirt runs QEMU, by what it says of itself; nothing if it does not say.
std::optional<QemuUser> qemu_user(const std::string& capabilities);
// `group`: as configured for wherryd; may be empty.
Finding qemu_user(const QemuUser& qemu, const std::string& group);

// Asks the libvirt at that socket, with some seconds of patience.
Findings examine_qemu_user(const std::string& socket, const std::string& group);

}  // namespace wherry::doctor
