// The program `wherry`: parses the command line and runs the subcommand.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "base/process_end.h"
#include "qemu-glue/cli/commands.h"

int main(int argc, char** argv) {
  using namespace wherry::cli;
  wherry::end_by_signals();
  std::signal(SIGPIPE, SIG_IGN);
  spdlog::set_default_logger(spdlog::stderr_color_mt("wherry"));
  spdlog::set_pattern("wherry: %v");

  CLI::App app{"Live migration of QEMU guests over many lanes", "wherry"};
  app.set_version_flag("--version", WHERRY_VERSION);
  app.require_subcommand(1);
  Command command;
  add_send(app, command);
  add_receive(app, command);
  add_migrate(app, command);
  add_route(app, command);
  add_status(app, command);
  add_set(app, command);
  add_watch(app, command);
  add_report(app, command);
  add_doctor(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kCompleted : kUsage;
  }
  return command();
}
