// wherry route: has this host's wherryd make a route, and prints its path. wherry status: lists the routes
// and migrations of this host's wherryd.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "base/printable.h"
#include "qemu-glue/cli/commands.h"
#include "qemu-glue/daemon/errands.h"
#include "qemu-glue/look/fields.h"
#include "qemu-glue/look/units.h"

namespace wherry::cli {
namespace {

struct AskOptions {
  std::string uri;
  std::string runtime_dir = "/run/wherry";
  bool json = false;
  bool disks = false;
};

void print_line(const nlohmann::json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
}

// A member that is text, for a terminal; what is malformed is not shown.
std::string shown(const look::Fields& fields, const char* name) {
  return printable(fields.text(name).value_or(""));
}

int route(const AskOptions& options) {
  auto answer = daemon::ask(options.runtime_dir, {{"command", "route"}, {"uri", options.uri}});
  if (!answer) {
    spdlog::error("{}", answer.error().message);
    return kFailed;
  }
  if (options.json) {
    print_line(*answer);
    return kCompleted;
  }
  std::optional<Error> ignored;
  const look::Fields fields(*answer, ignored);
  fmt::print("unix://{}\n", shown(fields, "path"));
  if (options.disks) fmt::print("unix://{}\n", shown(fields, "disks"));
  return kCompleted;
}

int status(const AskOptions& options) {
  auto answer = daemon::ask(options.runtime_dir, {{"command", "status"}});
  if (!answer) {
    spdlog::error("{}", answer.error().message);
    return kFailed;
  }
  if (options.json) {
    print_line(*answer);
    return kCompleted;
  }
  std::optional<Error> ignored;
  const look::Fields fields(*answer, ignored);
  for (const look::Fields& each : fields.list("routes")) {
    const auto progress = each.object("progress");
    const double bandwidth = progress ? progress->number("bandwidth").value_or(0) : 0;
    const double passes = progress ? progress->number("passes").value_or(0) : 0;
    fmt::print("{}  {}  {}  pass {:.0f}{}\n", shown(each, "path"), shown(each, "uri"),
               each.flag("used").value_or(false) ? "migrating" : "waiting", passes,
               bandwidth > 0 ? fmt::format("  at most {}/s", look::bytes_text(bandwidth)) : "");
  }
  for (const look::Fields& each : fields.list("arrivals")) fmt::print("{}  arriving\n", shown(each, "route"));
  fmt::print("{:.0f} connections to libvirt\n", fields.number("libvirt_connections").value_or(0));
  return kCompleted;
}

CLI::App* add(CLI::App& app, Command& chosen, const char* name, const char* what,
              int (*act)(const AskOptions&)) {
  auto options = std::make_shared<AskOptions>();
  CLI::App* command = app.add_subcommand(name, what);
  command->add_option("--runtime-dir", options->runtime_dir, "wherryd's runtime directory (/run/wherry)");
  command->add_flag("--json", options->json, "Print JSON");
  if (act == route) {
    command->add_option("uri", options->uri, "wherry://HOST[:PORT][?key=value…]")->required();
    command->add_flag("--disks", options->disks, "Also print the path for --disks-uri, on a second line");
  }
  command->callback([options, &chosen, act] { chosen = [options, act] { return act(*options); }; });
  return command;
}

}  // namespace

void add_route(CLI::App& app, Command& chosen) {
  add(app, chosen, "route", "Have wherryd make a route to a host; print its path for --migrateuri", route);
}

void add_status(CLI::App& app, Command& chosen) {
  add(app, chosen, "status", "List the routes and migrations of this host's wherryd", status);
}

}  // namespace wherry::cli
