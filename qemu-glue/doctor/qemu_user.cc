#include "qemu-glue/doctor/qemu_user.h"

#include <fmt/core.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <future>

#include "base/start_thread.h"
#include "qemu-glue/daemon/local_users.h"
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

}  // namespace

std::optional<uid_t> qemu_user(const std::string& capabilities) {
  const size_t dac = capabilities.find("<model>dac</model>");
  const size_t label = capabilities.find("<baselabel", dac);
  const size_t value = capabilities.find('>', label);
  if (value == std::string::npos) return std::nullopt;
  uid_t user = 0;
  if (std::sscanf(capabilities.c_str() + value + 1, "+%u:", &user) != 1) return std::nullopt;
  return user;
}

Finding qemu_user(uid_t qemu, const std::string& configured) {
  const std::string found = fmt::format("libvirt runs QEMU as {}", name_of(qemu));
  if (qemu == 0) return ok(kAbout, found);
  if (const auto user = daemon::user_named(configured); user && user->id == qemu) return ok(kAbout, found);
  return problem(kAbout,
                 configured.empty()
                     ? found + ", which cannot create its sockets for incoming guests"
                     : fmt::format("{}, but wherry.toml has qemu_user = \"{}\"", found, configured),
                 fmt::format("qemu_user = \"{}\" in wherry.toml, and restart wherryd", name_of(qemu)));
}

// The call cannot be interrupted, so it runs in a thread that is abandoned if it takes too long.
Findings examine_qemu_user(const std::string& socket, const std::string& configured) {
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
  return {qemu_user(*qemu, configured)};
}

}  // namespace wherry::doctor
