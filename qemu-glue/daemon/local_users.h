// Users and groups of this host by their names, for the two that wherryd's configuration names: the user that
// QEMU runs as, and the group of the administrators.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace wherry::daemon {

struct LocalUser {
  uid_t id = 0;
  gid_t group = 0;  // its primary group
};

// Thread-safe; the rest is for one thread at a time.
Result<LocalUser> user_named(const std::string& name);
Result<gid_t> group_named(const std::string& name);

// Whether `group` is the primary group of that user or one that it is a member of.
bool is_member(const std::string& user, gid_t group);

// An Error if the administrators' group has the user that QEMU runs as: each guest's QEMU could then do what
// administrators may. Either name can be empty.
Result<> check_users(const std::string& qemu_user, const std::string& administrators);

}  // namespace wherry::daemon
