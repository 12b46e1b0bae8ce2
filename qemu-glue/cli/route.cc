// wherry route: has this host's wherryd make a route, and prints its path. wherry status: lists the routes
// and migrations of this host's wherryd.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "qemu-glue/cli/commands.h"
#include "qemu-glue/daemon/errands.h"
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
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

int route(const AskOptions& options) {
  auto answer = daemon::ask(options.runtime_dir, {{"command", "route"}, {"uri", options.uri}});
  if (!answer) {
    spdlog::error("{}", answer.error().message);
    return kFailed;
  }
  if (options.json) {
    print_line(*answer);
  } else {
    fmt::print("unix://{}\n", answer->value("path", ""));
    if (options.disks) fmt::print("unix://{}\n", answer->value("disks", ""));
  }
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
  for (const nlohmann::json& each : (*answer)["routes"]) {
    const nlohmann::json progress = each.value("progress", nlohmann::json::object());
    const auto bandwidth = progress.value("bandwidth", 0.0);
    fmt::print("{}  {}  {}  pass {}{}\n", each.value("path", ""), each.value("uri", ""),
               each.value("used", false) ? "migrating" : "waiting", progress.value("passes", 0),
               bandwidth > 0 ? fmt::format("  at most {}/s", look::bytes_text(bandwidth)) : "");
  }
  for (const nlohmann::json& each : (*answer)["arrivals"])
    fmt::print("{}  arriving\n", each.value("route", ""));
  fmt::print("{} connections to libvirt\n", answer->value("libvirt_connections", 0));
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
