#include "qemu-glue/daemon/local_users.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <vector>

namespace wherry::daemon {

Result<LocalUser> user_named(const std::string& name) {
  std::vector<char> text(16 * 1024);  // of the entry; enough for any that has a home and a shell
  passwd entry{};
  passwd* found = nullptr;
  ::getpwnam_r(name.c_str(), &entry, text.data(), text.size(), &found);
  if (!found) return fail("there is no user {} on this host", name);
  return LocalUser{found->pw_uid, found->pw_gid};
}

Result<gid_t> group_named(const std::string& name) {
  if (const group* entry = ::getgrnam(name.c_str())) return entry->gr_gid;
  return fail("there is no group {} on this host", name);
}

bool is_member(const std::string& user, gid_t group) {
  const auto found = user_named(user);
  if (!found) return false;
  if (found->group == group) return true;
  constexpr int kMost = 256;
  std::vector<gid_t> all(kMost);
  int count = kMost;
  if (::getgrouplist(user.c_str(), found->group, all.data(), &count) < 0) return false;
  return std::find(all.begin(), all.begin() + count, group) != all.begin() + count;
}

Result<> check_users(const std::string& qemu_user, const std::string& administrators) {
  if (!qemu_user.empty()) {
    if (auto user = user_named(qemu_user); !user) return fail("qemu_user: {}", user.error().message);
  }
  if (administrators.empty()) return {};
  const auto group = group_named(administrators);
  if (!group) return fail("administrators: {}", group.error().message);
  if (qemu_user.empty() || !is_member(qemu_user, *group)) return {};
  return fail(
      "administrators: {}, the user of QEMU, is in the group {}, so every guest's QEMU could use the peers' "
      "libvirt. Name another group",
      qemu_user, administrators);
}

}  // namespace wherry::daemon
