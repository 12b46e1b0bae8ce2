#include "qemu-glue/convergence/vcpu_quota.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <optional>

#include "base/errno.h"

namespace wherry::convergence {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;

const fs::path kRoot = "/sys/fs/cgroup";
constexpr std::string_view kPrefix = "wherry-throttle-";
// The least quota that the kernel accepts, and a period that is short compared with a downtime target. The
// period becomes longer if the quota would be too small.
constexpr microseconds kLeastQuota{1000};
constexpr microseconds kPeriod{10'000};
constexpr microseconds kLongestPeriod{1'000'000};
// The descriptors that moving a thread from one group to another takes.
constexpr size_t kMoveDescriptors = 2;

Result<> write(const fs::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text;
  out.close();
  if (!out) return fail("cannot write \"{}\" to {}: {}", text, file.string(), reason(errno));
  return {};
}

bool is_v2(const fs::path& group) {
  return fs::exists(group / "cgroup.type") || fs::exists(group / "cgroup.threads");
}

// The control group in which the kernel limits a thread's processor time.
struct Home {
  fs::path path;
  bool v2 = false;
};
Result<Home> home_of(pid_t qemu, pid_t thread) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/cgroup", qemu, thread));
  std::optional<Home> v2;
  for (std::string line; std::getline(file, line);) {  // NUMBER:CONTROLLERS:/PATH
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (("," + controllers + ",").find(",cpu,") != std::string::npos)
      return Home{kRoot / controllers / fs::path(path).relative_path(), false};
    if (controllers.empty()) v2 = Home{kRoot / fs::path(path).relative_path(), true};
  }
  if (!v2 || !fs::exists(v2->path / "cgroup.controllers"))
    return fail("no control group of process {} that has a processor quota is below {}", qemu,
                kRoot.string());
  return *v2;
}

// A group's quota and the quotas of the groups above it all apply to its threads. Version 1 refuses a quota
// that is larger than one above.
double processors_of(const Home& home) {
  double processors = 1;
  for (fs::path group = home.path; group != kRoot && group != group.root_path();
       group = group.parent_path()) {
    double quota = 0;
    double period = 0;
    if (home.v2) {
      std::ifstream(group / "cpu.max") >> quota >> period;  // without a quota it begins with a word
    } else {
      std::ifstream(group / "cpu.cfs_quota_us") >> quota;
      std::ifstream(group / "cpu.cfs_period_us") >> period;
    }
    if (quota > 0 && period > 0) processors = std::min(processors, quota / period);
  }
  return processors;
}

const char* threads_of(bool v2) {
  return v2 ? "cgroup.threads" : "tasks";
}

// Moves its threads to the group above, and removes it.
void release(const fs::path& group, bool v2) {
  const fs::path above = group.parent_path();
  std::ifstream threads(group / threads_of(v2));
  for (std::string thread; std::getline(threads, thread);) (void)write(above / threads_of(v2), thread);
  std::error_code error;
  fs::remove(group, error);
  if (!v2) return;
  const auto entries = fs::directory_iterator(above, error);
  const bool others =
      std::any_of(begin(entries), end(entries), [](const auto& each) { return each.is_directory(); });
  if (!others) (void)write(above / "cgroup.subtree_control", "-cpu");
}

}  // namespace

Result<std::unique_ptr<Throttle>> VcpuQuota::take(pid_t qemu, const std::vector<pid_t>& threads) {
  std::unique_ptr<VcpuQuota> quota(new VcpuQuota());
  if (auto kept = quota->reserve_.keep(kMoveDescriptors); !kept) return pass_on(kept);
  for (size_t vcpu = 0; vcpu < threads.size(); ++vcpu) {
    auto home = home_of(qemu, threads[vcpu]);
    if (!home) return pass_on(home);
    const Group group{home->path / fmt::format("{}{}-{}", kPrefix, ::getpid(), vcpu), home->v2,
                      processors_of(*home)};
    std::error_code error;
    fs::create_directory(group.path, error);
    if (error) return fail("cannot make the control group {}: {}", group.path.string(), error.message());
    quota->groups_.push_back(group);
    quota->processors_ = std::max(quota->processors_, group.processors);
    if (group.v2) {
      if (auto set = write(group.path / "cgroup.type", "threaded"); !set) return pass_on(set);
      if (auto set = write(home->path / "cgroup.subtree_control", "+cpu"); !set) return pass_on(set);
    }
    if (auto moved = write(group.path / threads_of(group.v2), std::to_string(threads[vcpu])); !moved)
      return pass_on(moved);
  }
  return quota;
}

VcpuQuota::~VcpuQuota() {
  reserve_.release();
  for (const Group& group : groups_) release(group.path, group.v2);
}

Result<> VcpuQuota::throttle(double part) {
  part = std::clamp(part, 0.0, kMost);
  if (part == part_) return {};
  for (const Group& group : groups_) {
    const double share = std::max(group.processors * (1 - part), kLeastQuota / (1.0 * kLongestPeriod));
    const auto least = std::chrono::duration_cast<microseconds>(kLeastQuota / share);
    const microseconds period = std::clamp(least, kPeriod, kLongestPeriod);
    const auto quota = std::max(kLeastQuota, std::chrono::duration_cast<microseconds>(period * share));
    Result<> set;
    if (group.v2) {
      set = write(group.path / "cpu.max",
                  part > 0 ? fmt::format("{} {}", quota.count(), period.count()) : "max");
    } else {
      // No quota first: a period that is shorter than the quota is refused.
      set = write(group.path / "cpu.cfs_quota_us", "-1");
      if (set && part > 0) set = write(group.path / "cpu.cfs_period_us", std::to_string(period.count()));
      if (set && part > 0) set = write(group.path / "cpu.cfs_quota_us", std::to_string(quota.count()));
    }
    if (!set) return set;
  }
  part_ = part;
  return {};
}

std::vector<fs::path> VcpuQuota::abandoned() {
  std::vector<fs::path> found;
  std::error_code error;
  const auto options = fs::directory_options::skip_permission_denied;
  for (auto at = fs::recursive_directory_iterator(kRoot, options, error); !error && at != end(at);
       at.increment(error)) {
    if (!at->is_directory(error)) continue;
    const std::string name = at->path().filename();
    if (!name.starts_with(kPrefix)) continue;
    pid_t owner = 0;
    const char* number = name.c_str() + kPrefix.size();
    const auto parsed = std::from_chars(number, name.c_str() + name.size(), owner);
    if (parsed.ec != std::errc{} || owner <= 0) continue;
    if (::kill(owner, 0) != 0 && errno == ESRCH) found.push_back(at->path());
  }
  return found;
}

void VcpuQuota::release_abandoned() {
  for (const fs::path& group : abandoned()) release(group, is_v2(group));
}

}  // namespace wherry::convergence
