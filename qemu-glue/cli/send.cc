// wherry send: one migration's end at the source.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <optional>

#include "qemu-glue/cli/arguments.h"
#include "qemu-glue/cli/carrier.h"
#include "qemu-glue/cli/commands.h"
#include "qemu-glue/cli/interruption.h"
#include "qemu-glue/cli/progress.h"
#include "qemu-glue/daemon/bandwidth.h"
#include "qemu-glue/domain/libvirt_access.h"
#include "qemu-glue/source/sender.h"
#include "qemu-glue/steering/steered_send.h"

namespace wherry::cli {
namespace {

struct SendOptions {
  std::string qemu;
  std::string disks;
  std::string to;
  std::string qmp;
  std::string libvirt;
  std::string report;
  std::string trace;
  int bandwidth_from = -1;
  bool json = false;
  bool insecure = false;
};

// What the command line has of a migration; an Error says what is wrong there.
Result<SteeredSend::Options> migration_of(const SendOptions& options) {
  auto qemu = qemu_endpoint("--qemu", options.qemu);
  if (!qemu) return pass_on(qemu);
  auto disks = disks_endpoint(options.disks);
  if (!disks) return pass_on(disks);
  auto uri = peer_uri(options.to, options.insecure);
  if (!uri) return pass_on(uri);
  SteeredSend::Options migration{
      .qemu = *qemu, .disks = *disks, .uri = *uri, .monitor = monitor_path(options.qmp)};
  if (!options.libvirt.empty())
    migration.access = [libvirt = options.libvirt](pid_t process) {
      return domain::LibvirtAccess::open(libvirt, process);
    };
  return migration;
}

Interruption::Answers answers_of(const SendOptions& options, const Uri& uri, Sender& sender,
                                 ReportFile& file) {
  return {
      .interrupt = [&](const std::string& why) { return sender.interrupt(why); },
      .leave = [&] { sender.leave(); },
      .last = [&](Outcome outcome,
                  const std::string& why) { write_last(file, sender.report(), outcome, why); },
      .asks_monitor = [&] { return !options.qmp.empty(); },
      .waits = kMayBeThere,
      .leaves = Interruption::monitors(
          "at " + uri.hosts.front().host,
          options.qmp.empty() ? "the one that migrates to " + options.qemu : options.qmp),
  };
}

// Carries the migration to its end, and shows how it goes.
void run(SteeredSend& migration, const SendOptions& options, Failure& failure) {
  Sender& sender = migration.sender();
  Progress progress([&] { return sender.report(); }, options.json);
  daemon::BandwidthListener limits(options.bandwidth_from,
                                   [&](uint64_t bandwidth) { sender.set_bandwidth(bandwidth); });
  for (const auto& started : {progress.start(), limits.start()}) {
    if (!started) failure.fail(started.error());
  }
  migration.run();
}

int send(const SendOptions& options) {
  auto given = migration_of(options);
  if (!given) {
    spdlog::error("{}", given.error().message);
    return kUsage;
  }
  become_carrier();
  const auto trace = open_trace(options.trace);
  if (!trace) {
    spdlog::error("{}", trace.error().message);
    return kFailed;
  }
  given->trace = trace->get();
  Failure failure;
  SteeredSend migration(*given, failure);
  Sender& sender = migration.sender();
  auto file = ReportFile::open(options.report, sender.report());
  if (!file) {
    spdlog::error("{}", file.error().message);
    return kFailed;
  }
  const Interruption interruption(answers_of(options, given->uri, sender, *file));
  if (auto opened = migration.open(); !opened) {
    const Outcome outcome = interruption.outcome(Outcome::failed);
    print_failure(*file, sender.report(), outcome, opened.error(), options.json);
    return interruption.exit_status(outcome);
  }
  spdlog::info("ready: migrate QEMU to {}", options.qemu);
  run(migration, options, failure);
  Report report = migration.conclude();
  Outcome& outcome = report.ended->outcome;
  outcome = interruption.outcome(outcome);
  if (auto written = file->write(report); !written) spdlog::warn("{}", written.error().message);
  print_summary(report, options.json);
  if (outcome != Outcome::completed) spdlog::error("{}", report.error());
  return interruption.exit_status(outcome);
}

}  // namespace

void add_send(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<SendOptions>();
  CLI::App* command = app.add_subcommand("send", "Carry one migration away from this host's QEMU");
  command
      ->add_option("--qemu", options->qemu,
                   "Where to listen for QEMU: unix:PATH, or tcp:HOST:PORT on loopback")
      ->required();
  command->add_option("--disks", options->disks,
                      "Where to listen for QEMU's disks that move along (NBD): as --qemu");
  command->add_option("--to", options->to, "The receiver: wherry://HOST[:PORT][?key=value…]")->required();
  command->add_option(
      "--qmp", options->qmp,
      "QEMU's monitor, unix:PATH: told what may remain when the guest stops, and asked how it went");
  command->add_option("--libvirt", options->libvirt,
                      "URI of the libvirt that started QEMU: told and asked the same, without --qmp");
  command->add_option("--report", options->report, "File for the report (JSON)");
  command->add_option("--trace", options->trace, kTraceOption);
  command
      ->add_option("--bandwidth-from", options->bandwidth_from,
                   "Descriptor of a socket over which wherryd says what may be sent")
      ->group("");  // not in --help: it is between wherryd and its processes
  command->add_flag("--json", options->json,
                    "Progress as JSON on standard output, an object a second and one at the end");
  command->add_flag("--insecure", options->insecure, "Allow guest memory to cross a network in the clear");
  command->callback([options, &chosen] { chosen = [options] { return send(*options); }; });
}

}  // namespace wherry::cli
