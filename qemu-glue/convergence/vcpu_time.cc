#include "qemu-glue/convergence/vcpu_time.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace wherry::convergence {

std::optional<VcpuTime> VcpuTime::of(pid_t qemu, const std::vector<pid_t>& threads) {
  VcpuTime time;
  for (const pid_t thread : threads) {
    const std::string path = fmt::format("/proc/{}/task/{}/schedstat", qemu, thread);
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const auto begin = file ? read(file) : std::nullopt;
    if (!begin) return std::nullopt;
    time.threads_.push_back({.file = std::move(file), .nanoseconds = *begin});
  }
  if (time.threads_.empty()) return std::nullopt;
  return time;
}

VcpuTime::Ran VcpuTime::ran() {
  uint64_t all = 0;
  uint64_t most = 0;
  for (Thread& thread : threads_) {
    // A thread that has ended keeps what it had.
    const uint64_t now = std::max(thread.nanoseconds, read(thread.file).value_or(0));
    most = std::max(most, now - std::exchange(thread.nanoseconds, now));
    all += now;
  }
  busiest_ += most;
  return {.all = static_cast<double>(all) / 1e9, .busiest = static_cast<double>(busiest_) / 1e9};
}

std::optional<uint64_t> VcpuTime::read(const Fd& file) {
  std::array<char, 64> text{};
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  uint64_t value = 0;
  if (got <= 0 || std::from_chars(text.data(), text.data() + got, value).ec != std::errc())
    return std::nullopt;
  return value;
}

}  // namespace wherry::convergence
