#include "qemu-glue/doctor/qemu_user.h"

#include <fmt/core.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <vector>

#include "base/start_thread.h"
#include "qemu-glue/domain/libvirt.h"

namespace wherry::doctor {
namespace {

// The first answer of libvirt can take seconds, because it examines all QEMU binaries then.
constexpr std::chrono::seconds kPatience{5};
constexpr const char* kAbout = "qemu user";

Result<std::string> ask_capabilities(const std::string& socket) {
  auto connection = domain::connect("qemu+unix:///system?socket=" + socket);
  if (!connection) return pass_on(connection);
  const std::unique_ptr<char, decltype(&std::free)> xml(virConnectGetCapabilities(connection->get()),
                                                        std::free);
  if (!xml) return fail("{}", domain::last_error());
  return std::string(xml.get());
}

std::string name_of(uid_t user) {
  const passwd* entry = ::getpwuid(user);
  return entry ? entry->pw_name : std::to_string(user);
}

std::string name_of_group(gid_t group) {
  const ::group* entry = ::getgrgid(group);
  return entry ? entry->gr_name : std::to_string(group);
}

// Whether `group` is QEMU's own group, or one that QEMU's user is a member of.
bool is_in(const QemuUser& qemu, gid_t group) {
  if (qemu.group == group) return true;
  constexpr int kMost = 256;
  std::vector<gid_t> all(kMost);
  int count = kMost;
  if (::getgrouplist(name_of(qemu.user).c_str(), qemu.group, all.data(), &count) < 0) return false;
  return std::find(all.begin(), all.begin() + count, group) != all.begin() + count;
}

}  // namespace

std::optional<QemuUser> qemu_user(const std::string& capabilities) {
  const size_t dac = capabilities.find("<model>dac</model>");
  const size_t label = capabilities.find("<baselabel", dac);
  const size_t value = capabilities.find('>', label);
  if (value == std::string::npos) return std::nullopt;
  QemuUser found;
  if (std::sscanf(capabilities.c_str() + value + 1, "+%u:+%u", &found.user, &found.group) != 2)
    return std::nullopt;
  return found;
}

Finding qemu_user(const QemuUser& qemu, const std::string& group) {
  const std::string found = fmt::format("libvirt runs QEMU as {}", name_of(qemu.user));
  if (qemu.user == 0) return ok(kAbout, found);
  const ::group* entry = group.empty() ? nullptr : ::getgrnam(group.c_str());
  if (entry && is_in(qemu, entry->gr_gid))
    return ok(kAbout, fmt::format("{}, of the group {}", found, group));
  return problem(
      kAbout,
      group.empty()
          ? found + ", which cannot create its sockets for incoming guests"
          : fmt::format("{}, which is not in the group {} and cannot create sockets here", found, group),
      fmt::format("group = \"{}\" in wherry.toml, and restart wherryd", name_of_group(qemu.group)));
}

// The call cannot be interrupted, so it runs in a thread that is abandoned if it takes too long.
Findings examine_qemu_user(const std::string& socket, const std::string& group) {
  if (::geteuid() != 0) return {};  // libvirt might ask for a password
  std::packaged_task<Result<std::string>()> task([socket] { return ask_capabilities(socket); });
  auto answer = task.get_future();
  auto asks = start_thread("ask libvirt", std::move(task));
  if (!asks) return {note(kAbout, asks.error().message, "raise that limit and run wherry doctor again")};
  asks->detach();
  if (answer.wait_for(kPatience) != std::future_status::ready) {
    return {note(kAbout,
                 fmt::format("{} did not tell within {} s which user runs QEMU", socket, kPatience.count()),
                 "run wherry doctor again; if that does not help, restart libvirt")};
  }
  const auto capabilities = answer.get();
  const auto qemu = capabilities ? qemu_user(*capabilities) : std::nullopt;
  if (!qemu) return {};  // a libvirt that does not answer is reported by libvirt()
  return {qemu_user(*qemu, group)};
}

}  // namespace wherry::doctor
