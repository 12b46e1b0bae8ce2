// Finds the QEMU of this host and checks whether Wherry was tested with its version.
#pragma once

#include <string>

#include "base/result.h"
#include "qemu-glue/doctor/finding.h"

namespace wherry::doctor {

// The first QEMU for `machine` (as in uname) in the directories of `path` (as in $PATH), or where
// distributions install one outside $PATH; empty if there is none.
std::string find_qemu(const std::string& path, const std::string& machine);
// The first line of `PROGRAM --version`.
Result<std::string> version_line(const std::string& program);
Finding qemu(const std::string& program, const Result<std::string>& version_line);

Finding examine_qemu();

}  // namespace wherry::doctor
