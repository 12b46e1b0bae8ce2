// wherry receive: one migration's end at the destination.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <thread>

#include "qemu-glue/cli/arguments.h"
#include "qemu-glue/cli/carrier.h"
#include "qemu-glue/cli/commands.h"
#include "qemu-glue/cli/interruption.h"
#include "qemu-glue/cli/progress.h"
#include "qemu-glue/destination/receiver.h"
#include "qemu-glue/steering/destination_monitor.h"
#include "transport/socket/addresses.h"
#include "transport/socket/listener.h"

namespace wherry::cli {
namespace {

struct ReceiveOptions {
  std::string listen;
  std::string qemu;
  std::string disks;
  std::string qmp;
  std::string report;
  std::string trace;
  bool insecure = false;
  int handed_over = -1;
};

// libvirt has the guest go on now. What this process has taken it can give back later: that keeps a processor
// busy for some milliseconds.
constexpr std::chrono::milliseconds kUntilTheGuestRuns{200};

int receive(const ReceiveOptions& options) {
  auto qemu = qemu_endpoint("--qemu", options.qemu);
  auto disks = disks_endpoint(options.disks);
  const bool handed_over = options.handed_over >= 0;
  auto uri = peer_uri(options.listen, options.insecure || handed_over);  // wherryd has looked at its hosts
  for (const Error* error :
       {qemu ? nullptr : &qemu.error(), disks ? nullptr : &disks.error(), uri ? nullptr : &uri.error()}) {
    if (!error) continue;
    spdlog::error("{}", error->message);
    return kUsage;
  }
  become_carrier();
  const auto trace = open_trace(options.trace);
  if (!trace) {
    spdlog::error("{}", trace.error().message);
    return kFailed;
  }
  Failure failure;
  const DestinationMonitor monitor(monitor_path(options.qmp), *qemu);
  Receiver receiver({.listen = *uri,
                     .qemu = *qemu,
                     .disks = *disks,
                     .memory = [&](pid_t process) { return monitor.find_memory(process); },
                     .arrived = [&](pid_t process) { return monitor.has_arrived(process); },
                     .trace = trace->get(),
                     .begun =
                         [&] {
                           if (!handed_over) return;
                           std::fputs("begun\n", stdout);  // for wherryd
                           std::fflush(stdout);
                         }},
                    failure);
  auto file = ReportFile::open(options.report, receiver.report());
  if (!file) {
    spdlog::error("{}", file.error().message);
    return kFailed;
  }
  const Interruption interruption({
      .interrupt = [&](const std::string& why) { return receiver.interrupt(why); },
      .leave = [&] { receiver.leave(); },
      .last = [&](Outcome outcome,
                  const std::string& why) { write_last(*file, receiver.report(), outcome, why); },
      .asks_monitor = [] { return false; },
      .waits = kMayBeThere,
      .leaves = Interruption::monitors(options.qmp.empty() ? "the one at " + options.qemu : options.qmp,
                                       "at the sender's host"),
  });
  if (handed_over) {
    receiver.open(Listener::handed_over(Fd(options.handed_over)));
  } else {
    if (auto opened = receiver.open(); !opened) {
      const Outcome outcome = interruption.outcome(Outcome::failed);
      print_failure(*file, receiver.report(), outcome, opened.error(), false);
      return interruption.exit_status(outcome);
    }
    spdlog::info("listening on {}", receiver.listener().str());
    for (const Endpoint& host : uri->hosts) {
      if (auto why = unreachable_because(host.host); !why.empty()) spdlog::warn("{}", why);
    }
  }
  auto ended = receiver.run();
  Report report = receiver.report();
  Outcome& outcome = report.ended->outcome;
  outcome = interruption.outcome(outcome);
  if (auto written = file->write(report); !written) spdlog::warn("{}", written.error().message);
  if (!ended) spdlog::error("{}", ended.error().message);
  if (handed_over && ended) std::this_thread::sleep_for(kUntilTheGuestRuns);
  return interruption.exit_status(outcome);
}

}  // namespace

void add_receive(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<ReceiveOptions>();
  CLI::App* command = app.add_subcommand("receive", "Take one migration for this host's QEMU");
  command->add_option("--listen", options->listen, "Where to listen: wherry://ADDR[:PORT][,ADDR2…]")
      ->required();
  command
      ->add_option("--handed-over", options->handed_over,
                   "Descriptor of a socket over which wherryd hands over connections, instead of listening")
      ->group("");  // not in --help: it is between wherryd and its processes
  command->add_option("--qemu", options->qemu, "Where QEMU waits: unix:PATH, or tcp:HOST:PORT on loopback")
      ->required();
  command->add_option("--disks", options->disks,
                      "Where QEMU's NBD server waits for disks that move along: as --qemu");
  command->add_option("--qmp", options->qmp, "QEMU's monitor, unix:PATH: lets pages be placed directly");
  command->add_option("--report", options->report, "File for the report (JSON)");
  command->add_option("--trace", options->trace, kTraceOption);
  command->add_flag("--insecure", options->insecure, "Allow guest memory to cross a network in the clear");
  command->callback([options, &chosen] { chosen = [options] { return receive(*options); }; });
}

}  // namespace wherry::cli
