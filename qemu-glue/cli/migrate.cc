// wherry migrate: a libvirt domain goes to another host (migrate_domain.h), or a guest to another QEMU on
// this host; all steps are done for the user.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "qemu-glue/cli/arguments.h"
#include "qemu-glue/cli/carrier.h"
#include "qemu-glue/cli/commands.h"
#include "qemu-glue/cli/interruption.h"
#include "qemu-glue/cli/migrate_domain.h"
#include "qemu-glue/cli/progress.h"
#include "qemu-glue/steering/migration.h"

namespace wherry::cli {
namespace {

struct MigrateOptions {
  DomainOptions domain;
  std::string from;
  std::string to;
  std::string via;
  std::string report;
  std::string trace;
  bool paused = false;
  bool json = false;
  bool insecure = false;
};

int migrate_between_monitors(const MigrateOptions& options) {
  auto uri = peer_uri(options.via.empty() ? "wherry://127.0.0.1:0" : options.via, options.insecure);
  if (!uri) {
    spdlog::error("{}", uri.error().message);
    return kUsage;
  }
  become_carrier();
  const auto trace = open_trace(options.trace);
  if (!trace) {
    spdlog::error("{}", trace.error().message);
    return kFailed;
  }
  Migration migration({.from = monitor_path(options.from),
                       .to = monitor_path(options.to),
                       .via = *uri,
                       .paused = options.paused,
                       .trace = trace->get()});
  auto file = ReportFile::open(options.report, migration.report());
  if (!file) {
    spdlog::error("{}", file.error().message);
    return kFailed;
  }
  const Interruption interruption({
      .interrupt = [&](const std::string& why) { return migration.cancel(why); },
      .leave = [&] { migration.leave(); },
      .last = [&](Outcome outcome,
                  const std::string& why) { write_last(*file, migration.report(), outcome, why); },
      .asks_monitor = [&] { return migration.begun(); },
      .waits = kMayBeThere,
      .leaves = Interruption::monitors(options.to, options.from),
  });
  Result<> done;
  {
    Progress progress([&] { return migration.report(); }, options.json);
    if (auto started = progress.start(); !started) {
      print_failure(*file, migration.report(), Outcome::failed, started.error(), options.json);
      return kFailed;
    }
    done = migration.run();
  }
  Report report = migration.report();
  Outcome& outcome = report.ended->outcome;
  outcome = interruption.outcome(outcome);
  if (auto written = file->write(report); !written) spdlog::warn("{}", written.error().message);
  print_summary(report, options.json);
  if (!done) spdlog::error("{}", done.error().message);
  return interruption.exit_status(outcome);
}

}  // namespace

void add_migrate(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<MigrateOptions>();
  CLI::App* command = app.add_subcommand(
      "migrate", "Migrate a libvirt domain to another host, or a guest between two QEMUs on this host");
  command->add_option("--via", options->via,
                      "The way of the guest's memory: wherry://HOST[:PORT][?key=value…] (the host of DEST)");
  command->add_flag("--json", options->json,
                    "Progress as JSON on standard output, an object a second and one at the end");
  const auto of_domain = add_domain_options(*command, options->domain);
  auto* from = command->add_option("--from", options->from, "The source's monitor: qmp:PATH");
  auto* to = command->add_option("--to", options->to,
                                 "The destination's monitor: qmp:PATH (started with -incoming defer)");
  from->needs(to);
  to->needs(from);
  const std::vector<CLI::Option*> of_monitors{
      from,
      to,
      command->add_flag("--paused", options->paused, "Not live: stop the guest first"),
      command->add_option("--report", options->report, "File for the report (JSON)"),
      command->add_option("--trace", options->trace, kTraceOption),
      command->add_flag("--insecure", options->insecure,
                        "Allow guest memory to cross a network in the clear")};
  for (CLI::Option* each : of_monitors) each->group("Between two monitors");
  command->callback([options, of_domain, of_monitors, &chosen] {
    const auto given = [](const CLI::Option* option) { return option->count() > 0; };
    const auto domain = std::find_if(of_domain.begin(), of_domain.end(), given);
    const auto monitor = std::find_if(of_monitors.begin(), of_monitors.end(), given);
    // Not by CLI11's excludes(), which would list each of them at each other in the help.
    if (domain != of_domain.end() && monitor != of_monitors.end())
      throw CLI::ExcludesError((*domain)->get_name(), (*monitor)->get_name());
    const bool monitors = !options->from.empty();
    if (!monitors && options->domain.domain.empty())
      throw CLI::RequiredError("DOMAIN and DEST, or --from and --to,");
    chosen = [options, monitors] {
      return monitors ? migrate_between_monitors(*options)
                      : migrate_domain(options->domain, options->via, options->json);
    };
  });
}

}  // namespace wherry::cli
