// wherry set: changes a running migration of this host's wherryd.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "qemu-glue/cli/commands.h"
#include "qemu-glue/daemon/errands.h"
#include "qemu-glue/uri.h"

namespace wherry::cli {
namespace {

struct SetOptions {
  std::string path;
  std::string setting;
  std::string runtime_dir = "/run/wherry";
};

constexpr std::string_view kKey = "bandwidth=";
constexpr std::string_view kScheme = "unix://";  // as `wherry route` prints it

int set(const SetOptions& options) {
  auto bandwidth = options.setting.starts_with(kKey)
                       ? parse_bandwidth(std::string_view(options.setting).substr(kKey.size()))
                       : fail("expected bandwidth=RATE, like bandwidth=5Gbps");
  if (!bandwidth) {
    spdlog::error("{}: {}", options.setting, bandwidth.error().message);
    return kUsage;
  }
  const bool scheme = options.path.starts_with(kScheme);
  auto answer = daemon::ask(options.runtime_dir, {{"command", "set"},
                                                  {"path", options.path.substr(scheme ? kScheme.size() : 0)},
                                                  {"bandwidth", *bandwidth}});
  if (answer) return kCompleted;
  spdlog::error("{}", answer.error().message);
  return kFailed;
}

}  // namespace

void add_set(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<SetOptions>();
  CLI::App* command = app.add_subcommand("set", "Change an outgoing migration of this host while it runs");
  command->add_option("path", options->path, "The migration's path, as in `wherry status`")->required();
  command->add_option("setting", options->setting, "bandwidth=RATE, like 5Gbps, or bandwidth=off")
      ->required();
  command->add_option("--runtime-dir", options->runtime_dir, "wherryd's runtime directory (/run/wherry)");
  command->callback([options, &chosen] { chosen = [options] { return set(*options); }; });
}

}  // namespace wherry::cli
