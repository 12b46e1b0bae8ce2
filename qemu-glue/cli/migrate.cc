// wherry migrate: two QEMUs on this host, all steps done for the user.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "qemu-glue/cli/arguments.h"
#include "qemu-glue/cli/commands.h"
#include "qemu-glue/cli/interrupt.h"
#include "qemu-glue/cli/progress.h"
#include "qemu-glue/migration.h"

namespace wherry::cli {
namespace {

struct MigrateOptions {
  std::string from;
  std::string to;
  std::string via = "wherry://127.0.0.1:0";
  std::string report;
  bool paused = false;
  bool json = false;
  bool insecure = false;
};

int migrate(const MigrateOptions& options) {
  auto uri = peer_uri(options.via, options.insecure);
  if (!uri) {
    spdlog::error("{}", uri.error().message);
    return kUsage;
  }
  Migration migration({.from = monitor_path(options.from),
                       .to = monitor_path(options.to),
                       .via = *uri,
                       .paused = options.paused});
  Interrupt interrupt([&](const std::string& signal) { migration.cancel("interrupted by " + signal); });
  auto file = ReportFile::open(options.report, migration.report());
  if (!file) {
    spdlog::error("{}", file.error().message);
    return kFailed;
  }
  Result<> done;
  {
    Progress progress([&] { return migration.report(); }, options.json);
    done = migration.run();
  }
  const Report report = migration.report();
  if (auto written = file->write(report); !written) spdlog::warn("{}", written.error().message);
  print_summary(report, options.json);
  if (done) return kCompleted;
  spdlog::error("{}", done.error().message);
  return kFailed;
}

}  // namespace

void add_migrate(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<MigrateOptions>();
  CLI::App* command = app.add_subcommand("migrate", "Migrate a guest between two QEMUs on this host");
  command->add_option("--from", options->from, "The source's monitor: qmp:PATH")->required();
  command
      ->add_option("--to", options->to, "The destination's monitor: qmp:PATH (started with -incoming defer)")
      ->required();
  command->add_option("--via", options->via, "The way between them: wherry://ADDR[:PORT][?key=value…]");
  command->add_flag("--paused", options->paused, "Not live: stop the guest first");
  command->add_option("--report", options->report, "File for the report (JSON)");
  command->add_flag("--json", options->json,
                    "Progress as JSON on standard output, an object a second and one at the end");
  command->add_flag("--insecure", options->insecure, "Allow guest memory to cross a network in the clear");
  command->callback([options, &chosen] { chosen = [options] { return migrate(*options); }; });
}

}  // namespace wherry::cli
