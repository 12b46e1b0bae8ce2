// What /proc tells of another process's memory: its mappings, and the files behind them.
// Needs to read /proc/PID as that process's user or as root; an Error says so where it is not allowed.
// Format: proc(5). No state, any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace wherry {

// What to do where the kernel keeps us from another process's memory: the end of a sentence.
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

// The mappings over [start, start+length), which must not wrap; none when they leave a gap.
std::vector<Vma> covering(const std::vector<Vma>& vmas, uint64_t start, uint64_t length);

// All of them show one file, in one piece, and all privately or all shared. `vmas` is not empty.
bool one_file(const std::vector<Vma>& vmas, bool shared);

// Opens the file of `vma`, which must reach up to `end`; `access` is O_RDONLY or O_RDWR. First among the
// process's own descriptors, where its user may look; else by the mapping itself, which takes
// CAP_CHECKPOINT_RESTORE.
Result<Fd> open_file_of(pid_t pid, const Vma& vma, uint64_t end, int access);

}  // namespace wherry
