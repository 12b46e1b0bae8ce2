// Which QEMU `wherry doctor` finds, and whether Wherry knows its kind.
#pragma once

#include <string>

#include "base/result.h"
#include "qemu-glue/doctor/finding.h"

namespace wherry::doctor {

// The first that is there for the machine (as uname has it) in the directories of `path` (as in $PATH), or
// where distributions keep one that is in no $PATH; empty if there is none.
std::string find_qemu(const std::string& path, const std::string& machine);
// The first line of `PROGRAM --version`.
Result<std::string> version_line(const std::string& program);
Finding qemu(const std::string& program, const Result<std::string>& version_line);

Finding examine_qemu();

}  // namespace wherry::doctor
