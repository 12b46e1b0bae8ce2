// Reads another process's mappings and the files behind them from /proc.
// Needs to read /proc/PID, as that process's user or as root; without permission, an Error with the remedy.
// Format: proc(5). Stateless and thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace wherry {

// What to do if the kernel denies access to another process's memory: the end of a sentence.
inline constexpr const char* kMemoryAccessRemedy =
    "run Wherry as QEMU's user with permission to ptrace (kernel.yama.ptrace_scope=0), or as root or with "
    "CAP_SYS_PTRACE, or give the guest a shared memory backend (memory-backend-memfd,share=on; the first "
    "pass of a "
    "migration makes all of it resident at its source)";

// A line of /proc/PID/maps.
struct Vma {
  uint64_t start = 0;
  uint64_t end = 0;
  bool writable = false;
  bool shared = false;
  uint64_t file_offset = 0;
  dev_t device = 0;
  ino_t inode = 0;  // 0: anonymous
};

// In ascending order.
Result<std::vector<Vma>> read_vmas(pid_t pid);

// The mappings that cover [start, start+length), which must not wrap; empty if they leave a gap.
std::vector<Vma> covering(const std::vector<Vma>& vmas, uint64_t start, uint64_t length);

// Whether all of them map one file contiguously, and are all shared (all private if `shared` is false).
// `vmas` must not be empty.
bool one_file(const std::vector<Vma>& vmas, bool shared);

// The file of `vma`, which must be at least `end` bytes long; `access` is O_RDONLY or O_RDWR. `process` is a
// pidfd of `pid`.
//
// A file that another process names must not be opened with the rights of this one: a QEMU that lies would
// make root write to any file. So it is the process's own descriptor, copied by pidfd_getfd(2), which has the
// access that the process has. Where that is not permitted (as an ordinary user, if kernel.yama.ptrace_scope
// is not 0), or the process has closed its descriptor, the file is opened by way of /proc/PID/fd or
// /proc/PID/map_files (which needs CAP_CHECKPOINT_RESTORE), and refused unless the process's user owns it.
Result<Fd> open_file_of(pid_t pid, int process, const Vma& vma, uint64_t end, int access);

}  // namespace wherry
