#include "qemu-glue/memory/process_maps.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/errno.h"
#include "qemu-glue/monitor/qemu_process.h"

namespace wherry {

namespace {

template <class Number>
bool take(std::string_view& text, Number& value, int base, char separator) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (!text.starts_with(separator)) return false;
  text.remove_prefix(1);
  return true;
}

// 7f83c0000000-7f83c8002000 rw-s 00000000 00:01 2063   /memfd:memory-backend-memfd (deleted)
std::optional<Vma> parse_vma(std::string_view line) {
  Vma vma;
  unsigned major_number = 0, minor_number = 0;
  if (!take(line, vma.start, 16, '-') || !take(line, vma.end, 16, ' ')) return std::nullopt;
  if (line.size() < 5 || line[4] != ' ') return std::nullopt;
  vma.writable = line[1] == 'w';
  vma.shared = line[3] == 's';
  line.remove_prefix(5);
  if (!take(line, vma.file_offset, 16, ' ') || !take(line, major_number, 16, ':') ||
      !take(line, minor_number, 16, ' ')) {
    return std::nullopt;
  }
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), vma.inode);
  (void)end;
  if (error != std::errc()) return std::nullopt;
  vma.device = makedev(major_number, minor_number);
  return vma;
}

// Whether the descriptor is the file of `vma`, of at least `end` bytes, and open for `access`.
bool is_file_of(int file, const Vma& vma, uint64_t end, int access) {
  struct stat info {};
  if (::fstat(file, &info) != 0 || info.st_dev != vma.device || info.st_ino != vma.inode) return false;
  if (!S_ISREG(info.st_mode) || info.st_size < 0 || static_cast<uint64_t>(info.st_size) < end) return false;
  const int flags = ::fcntl(file, F_GETFL);
  if (flags < 0 || (flags & O_PATH)) return false;
  return (flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == access;
}

// The same, without opening it, and without asking the file's server, which may be the process itself (FUSE).
bool leads_to_file_of(const std::string& path, const Vma& vma) {
  struct statx info {};
  return ::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &info) == 0 &&
         S_ISREG(info.stx_mode) && info.stx_ino == vma.inode &&
         makedev(info.stx_dev_major, info.stx_dev_minor) == vma.device;
}

// Opens a path below /proc/PID with the rights of this process.
Result<Fd> open_by_path(pid_t pid, const std::string& path, const Vma& vma, uint64_t end, int access) {
  Fd file(::open(path.c_str(), access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return fail("cannot open {}: {}", path, reason(errno));
  if (!is_file_of(file.get(), vma, end, access)) return fail("{} is another file, or too short", path);
  auto user = user_of(pid);
  if (!user) return pass_on(user);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || info.st_uid != *user)
    return fail("{} belongs to user {}, but process {} runs as user {}", path, info.st_uid, pid, *user);
  return file;
}

}  // namespace

Result<std::vector<Vma>> read_vmas(pid_t pid) {
  std::string path = fmt::format("/proc/{}/maps", pid);
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT || errno == ESRCH) return fail("there is no process {}", pid);
    return fail("cannot read {}: {}; {}", path, reason(errno), kMemoryAccessRemedy);
  }
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail("cannot read {}: {}; {}", path, reason(errno), kMemoryAccessRemedy);
    if (n == 0) break;
    text.append(buffer.data(), static_cast<size_t>(n));
  }
  std::vector<Vma> vmas;
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    auto vma = parse_vma(rest.substr(0, end));
    if (!vma) return fail("cannot parse {}: '{}'", path, rest.substr(0, end));
    vmas.push_back(*vma);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return vmas;
}

std::vector<Vma> covering(const std::vector<Vma>& vmas, uint64_t start, uint64_t length) {
  std::vector<Vma> found;
  uint64_t covered = start;
  for (const Vma& vma : vmas) {  // in ascending order
    if (vma.end <= covered) continue;
    if (vma.start > covered) break;
    found.push_back(vma);
    covered = vma.end;
    if (covered >= start + length) return found;
  }
  return {};
}

bool one_file(const std::vector<Vma>& vmas, bool shared) {
  const Vma& first = vmas.front();
  return first.inode != 0 && std::all_of(vmas.begin(), vmas.end(), [&](const Vma& vma) {
           return vma.shared == shared && vma.device == first.device && vma.inode == first.inode &&
                  vma.file_offset >= first.file_offset &&
                  vma.file_offset - first.file_offset == vma.start - first.start;
         });
}

Result<Fd> open_file_of(pid_t pid, int process, const Vma& vma, uint64_t end, int access) {
  std::string why = "QEMU has no open descriptor of it";
  std::string folder = fmt::format("/proc/{}/fd", pid);
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
  if (!entries) why = fmt::format("cannot read {}: {}", folder, reason(errno));
  while (entries) {
    const dirent* entry = ::readdir(entries.get());
    if (entry == nullptr) break;
    const std::string_view name(entry->d_name);
    int number = -1;
    if (std::from_chars(name.data(), name.data() + name.size(), number).ec != std::errc()) continue;
    const std::string path = fmt::format("{}/{}", folder, number);
    if (!leads_to_file_of(path, vma)) continue;
    Fd own(static_cast<int>(::syscall(SYS_pidfd_getfd, process, number, 0)));
    if (own) {
      if (is_file_of(own.get(), vma, end, access)) return own;
      why =
          fmt::format("QEMU has not opened it for {}", access == O_RDWR ? "reading and writing" : "reading");
      continue;
    }
    if (errno != EPERM) continue;  // closed meanwhile
    auto file = open_by_path(pid, path, vma, end, access);
    if (file) return file;
    why = file.error().message;
  }
  auto file = open_by_path(pid, fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, vma.start, vma.end), vma,
                           end, access);
  if (!file) return fail("{}, and {}", why, file.error().message);
  return file;
}

}  // namespace wherry
