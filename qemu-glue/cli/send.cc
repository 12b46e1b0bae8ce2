// wherry send: one migration's end at the source.
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <thread>

#include "base/start_thread.h"
#include "qemu-glue/cli/arguments.h"
#include "qemu-glue/cli/commands.h"
#include "qemu-glue/cli/interruption.h"
#include "qemu-glue/cli/progress.h"
#include "qemu-glue/convergence/convergence.h"
#include "qemu-glue/convergence/qmp_source.h"
#include "qemu-glue/daemon/bandwidth.h"
#include "qemu-glue/domain/event_loop.h"
#include "qemu-glue/domain/libvirt_source.h"
#include "qemu-glue/monitor/migration_status.h"
#include "qemu-glue/monitor/qemu_process.h"
#include "qemu-glue/monitor/qmp.h"
#include "qemu-glue/source/sender.h"
#include "qemu-glue/steering/kept_stopped.h"

namespace wherry::cli {
namespace {

using convergence::SourceQemu;

constexpr std::chrono::milliseconds kLook{100};
// libvirt stops the guest itself, and when QEMU is done tells the other host's, which lets the guest go on
// (bench/downtime --door libvirt --workload idle).
constexpr convergence::Door kByLibvirt{.takes = {.pages = 0.0005, .start = 0.004}, .round_trips = 1};
// libvirt's word comes when both hosts have agreed how it went.
constexpr int kLooksAtTheEnd = 20;

struct SendOptions {
  std::string qemu;
  std::string disks;
  std::string to;
  std::string qmp;
  std::string libvirt;
  std::string report;
  int bandwidth_from = -1;
  bool json = false;
  bool insecure = false;
};

// Whether QEMU waits for the destination's word before it takes a migration for completed.
bool waits_for_word(SourceQemu& qemu) {
  constexpr const char* kCapabilities = "query-migrate-capabilities";
  const auto monitor = qemu.monitor_for(kCapabilities);
  if (!monitor) return false;
  const auto capabilities = (*monitor)->execute(kCapabilities);
  if (!capabilities || !capabilities->is_array()) return false;
  return std::any_of(capabilities->begin(), capabilities->end(), [](const nlohmann::json& each) {
    return each.value("capability", "") == "return-path" && each.value("state", false);
  });
}

// Waits for so long, or until something has happened to the guest or to its migration.
using Pause = std::function<void(std::chrono::milliseconds longest)>;

// QEMU's figures when the migration is over. In any other phase QEMU is on its way to one of the last,
// because its channels have ended.
Result<qemu::MigrationFigures> final_figures(SourceQemu& qemu, const Pause& pause) {
  auto figures = qemu.figures();
  for (int looks = 1; figures && !is_over(figures->phase) && looks < kLooksAtTheEnd; ++looks) {
    pause(kLook);
    figures = qemu.figures();
  }
  return figures;
}

// How it went, as QEMU says. `of_both`: both hosts have agreed on that.
std::optional<Ended> verdict(SourceQemu& qemu, const qemu::MigrationFigures& last, bool of_both) {
  const auto phase = last.phase;
  const bool cancelled = phase == qemu::MigrationPhase::cancelled;
  if (phase == qemu::MigrationPhase::completed && (of_both || waits_for_word(qemu)))
    return Ended{Outcome::completed, ""};
  if (!cancelled && phase != qemu::MigrationPhase::failed) return std::nullopt;
  const std::string why = !last.error.empty() ? last.error : cancelled ? "cancelled" : "failed";
  return Ended{cancelled ? Outcome::cancelled : Outcome::failed, "the source's QEMU says: " + why};
}

// What only QEMU knows: how long the guest was away, whether somebody cancelled it, and how it went where
// nothing else tells, or contradicts. Its failure says that only if both hosts have agreed on it, and Wherry
// had not to close it without the destination's word (`lost`).
Result<> ask_qemu(SourceQemu& qemu, const Pause& pause, bool of_both, bool lost, Report& report) {
  auto last = final_figures(qemu, pause);
  if (!last) return pass_on(last);
  const auto told = verdict(qemu, *last, of_both);
  if (told && report.outcome == Outcome::unknown &&
      (told->outcome == Outcome::completed || (of_both && !lost))) {
    report.outcome = told->outcome;
    report.error = told->detail;
  }
  if (told && report.outcome == Outcome::failed && told->outcome == Outcome::cancelled)
    report.outcome = Outcome::cancelled;
  // In postcopy, also one that was cut, it is stopped for another reason and must not be quit.
  const bool stays =
      last->phase == qemu::MigrationPhase::failed || last->phase == qemu::MigrationPhase::cancelled;
  const auto monitor = qemu.monitor_for("query-status");
  if (report.outcome != Outcome::completed && stays && monitor) {
    if (const auto kept = kept_stopped(**monitor)) {
      report.outcome = Outcome::unknown;
      report.error += "; " + *kept;
    }
  }
  if (last->downtime_ms) report.switchover_ms = *last->downtime_ms;
  return {};
}

// Looks at QEMU until the migration is over, or QEMU's monitor does not answer. `pause` is between two looks.
void converge(SourceQemu& qemu, convergence::Convergence& converging, Sender& sender,
              const std::stop_token& over, const Pause& pause) {
  while (!over.stop_requested()) {
    auto figures = qemu.figures(kSwitchoverTimeout);
    if (!figures) return spdlog::warn("{}", figures.error().message);
    sender.hear_page_size(figures->page_size);
    auto looked = converging.look(*figures);
    sender.note(converging.state());
    if (!looked) {
      (void)sender.interrupt(looked.error().message);  // unless it is too late for that
      return;
    }
    pause(*looked);
    sender.note(converging.state());
  }
}

// Which domain it is shows when its QEMU has come, and while that waits for us, it answers nobody: so this is
// in a thread that holds up no data. What libvirt refuses is left to it and QEMU. The monitor is for later.
std::unique_ptr<domain::LibvirtSource> converge_by_libvirt(const std::string& libvirt, const Uri& uri,
                                                           Sender& sender, const std::stop_token& over) {
  while (sender.qemu_process() == 0) {
    if (over.stop_requested()) return nullptr;
    std::this_thread::sleep_for(kLook);
  }
  const auto leave = [](const Error& error) {
    spdlog::warn("the end of the migration is left to libvirt: {}", error.message);
    return nullptr;
  };
  auto monitor = domain::LibvirtSource::open(libvirt, sender.qemu_process());
  if (!monitor) return leave(monitor.error());
  auto begun = convergence::Convergence::begin(
      **monitor, sender.qemu_process(), uri, [&sender] { return sender.lanes(); }, kByLibvirt);
  if (!begun) return leave(begun.error());
  converge(**monitor, **begun, sender, over, [&](std::chrono::milliseconds longest) {
    // A guest that has stopped libvirt hands over, and who asks it meanwhile is in its way.
    if ((*monitor)->wait_event(longest)) (*monitor)->wait_event(kLook);
  });
  return std::move(*monitor);
}

int send(const SendOptions& options) {
  auto qemu = qemu_endpoint("--qemu", options.qemu);
  auto disks = disks_endpoint(options.disks);
  auto uri = peer_uri(options.to, options.insecure);
  for (const Error* error :
       {qemu ? nullptr : &qemu.error(), disks ? nullptr : &disks.error(), uri ? nullptr : &uri.error()}) {
    if (!error) continue;
    spdlog::error("{}", error->message);
    return kUsage;
  }
  Failure failure;
  std::unique_ptr<Qmp> qmp;
  std::optional<convergence::QmpSource> source;  // the same QEMU
  const Pause watch_qmp = [&qmp](std::chrono::milliseconds longest) {
    // Convergence hears of the stop by itself; no other event matters.
    for (auto event = qmp->next_event(longest); event; event = qmp->next_event({})) continue;
  };
  std::jthread looks;  // at QEMU, while it migrates
  const auto departed = [&]() -> std::optional<Ended> {
    if (!qmp) return std::nullopt;
    looks.request_stop();
    if (looks.joinable()) looks.join();
    const auto last = final_figures(*source, watch_qmp);
    return last ? verdict(*source, *last, false) : std::nullopt;
  };
  Sender sender({.qemu = *qemu, .disks = *disks, .uri = *uri, .departed = departed}, failure);
  auto file = ReportFile::open(options.report, sender.report());
  if (!file) {
    spdlog::error("{}", file.error().message);
    return kFailed;
  }
  const Interruption interruption({
      .interrupt = [&](const std::string& why) { return sender.interrupt(why); },
      .leave = [&] { sender.leave(); },
      .last = [&](Outcome outcome,
                  const std::string& why) { write_last(*file, sender.report(), outcome, why); },
      .asks_monitor = [&] { return !options.qmp.empty(); },
      .waits = kMayBeThere,
      .leaves = Interruption::monitors(
          "at " + uri->hosts.front().host,
          options.qmp.empty() ? "the one that migrates to " + options.qemu : options.qmp),
  });
  const auto give_up = [&](const Error& error) {
    const Outcome outcome = interruption.outcome(Outcome::failed);
    print_failure(*file, sender.report(), outcome, error, options.json);
    return interruption.exit_status(outcome);
  };
  if (!options.qmp.empty()) {
    auto connected = Qmp::connect(monitor_path(options.qmp));
    if (!connected) return give_up(connected.error());
    qmp = std::move(*connected);
    source.emplace(*qmp);
  }
  std::unique_ptr<convergence::Convergence> converging;
  // Before QEMU can connect: while it waits for us it may not answer.
  if (qmp) {
    auto begun =
        convergence::Convergence::begin(*source, qmp->peer_pid(), *uri, [&sender] { return sender.lanes(); });
    if (!begun) {
      failure.fail(begun.error());
      return give_up(begun.error());
    }
    converging = std::move(*begun);
    sender.ask_page_size(*qmp);
  }
  std::optional<uid_t> user;
  if (qmp) {
    if (const auto known = user_of(qmp->peer_pid())) user = *known;
  }
  if (auto opened = sender.open(user); !opened) return give_up(opened.error());
  spdlog::info("ready: migrate QEMU to {}", options.qemu);
  std::optional<domain::EventLoop> events;
  std::unique_ptr<domain::LibvirtSource> libvirt;
  {
    Progress progress([&] { return sender.report(); }, options.json);
    auto started = progress.start();
    const auto begin = [&started](std::jthread& in, auto body) {
      auto thread = start_thread<std::jthread>(std::move(body));
      if (thread) {
        in = std::move(*thread);
      } else if (started) {
        started = pass_on(thread);
      }
    };
    if (qmp) {
      begin(looks,
            [&](const std::stop_token& over) { converge(*source, *converging, sender, over, watch_qmp); });
    } else if (!options.libvirt.empty()) {
      events.emplace();
      begin(looks, [&](const std::stop_token& over) {
        libvirt = converge_by_libvirt(options.libvirt, *uri, sender, over);
      });
    }
    std::jthread hears;
    begin(hears, [&] {
      while (auto told = daemon::hear_bandwidth(options.bandwidth_from)) sender.set_bandwidth(*told);
    });
    if (!started) failure.fail(started.error());
    (void)sender.run();  // its error is the report's
    ::shutdown(options.bandwidth_from, SHUT_RD);
    if (looks.joinable()) looks = {};
  }
  converging.reset();
  Report report = sender.report();
  Result<> asked;
  if (qmp) asked = ask_qemu(*source, watch_qmp, false, failure.failed(), report);
  if (libvirt) {
    const Pause watch = [&](std::chrono::milliseconds longest) { libvirt->wait_event(longest); };
    asked = ask_qemu(*libvirt, watch, true, failure.failed(), report);
  }
  if (!asked) spdlog::warn("{}", asked.error().message);
  report.outcome = interruption.outcome(*report.outcome);
  if (auto written = file->write(report); !written) spdlog::warn("{}", written.error().message);
  print_summary(report, options.json);
  if (report.outcome != Outcome::completed) spdlog::error("{}", report.error);
  return interruption.exit_status(*report.outcome);
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
  command->add_option("--bandwidth-from", options->bandwidth_from,
                      "Descriptor of a socket over which wherryd says what may be sent");
  command->add_flag("--json", options->json,
                    "Progress as JSON on standard output, an object a second and one at the end");
  command->add_flag("--insecure", options->insecure, "Allow guest memory to cross a network in the clear");
  command->callback([options, &chosen] { chosen = [options] { return send(*options); }; });
}

}  // namespace wherry::cli
