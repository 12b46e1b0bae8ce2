#include "qemu-glue/steering/steered_send.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "base/start_thread.h"
#include "qemu-glue/monitor/qemu_process.h"
#include "qemu-glue/steering/source_word.h"

namespace wherry {
namespace {

// Between two looks whether QEMU has connected.
constexpr std::chrono::milliseconds kConnects{100};

}  // namespace

SteeredSend::SteeredSend(Options options, Failure& failure)
    : options_(std::move(options)),
      failure_(failure),
      sender_({.qemu = options_.qemu,
               .disks = options_.disks,
               .uri = options_.uri,
               .trace = options_.trace,
               .departed = [this] { return departed(); }},
              failure) {}

Result<> SteeredSend::open() {
  std::optional<uid_t> user;
  if (!options_.monitor.empty()) {
    auto qmp = Qmp::connect(options_.monitor);
    if (!qmp) return pass_on(qmp);
    if (const auto known = user_of((*qmp)->peer_pid())) user = *known;
    // Before QEMU can connect: while it waits for us it may not answer.
    Qmp& monitor = **qmp;
    if (auto begun = begin(std::make_unique<QmpAccess>(std::move(*qmp))); !begun) return begun;
    sender_.ask_page_size(monitor);
  }
  return sender_.open(user);
}

Result<> SteeredSend::begin(std::unique_ptr<SourceAccess> access) {
  auto steering =
      SourceSteering::begin(access->qemu(), access->process(), access->manner().door, options_.uri, sender_);
  if (!steering) return pass_on(steering);
  access_ = std::move(access);
  steering_ = std::move(*steering);
  return {};
}

void SteeredSend::run() {
  const bool late = !access_ && options_.access;
  if (access_ || late) {
    auto looks = start_thread<std::jthread>("convergence", [this, late](const std::stop_token& over) {
      if (!late) return look(over);
      if (reach_late(over)) look(over);
      steering_.reset();
    });
    if (looks) {
      looks_ = std::move(*looks);
    } else {
      failure_.fail(std::move(looks.error()));
    }
  }
  (void)sender_.run();  // its error is in the report
  stop_looking();
  steering_.reset();
}

// False: QEMU has not come, or is left to whoever migrates it.
bool SteeredSend::reach_late(const std::stop_token& over) {
  while (sender_.qemu_process() == 0) {
    if (over.stop_requested()) return false;
    std::this_thread::sleep_for(kConnects);
  }
  auto access = options_.access(sender_.qemu_process());
  const auto begun = access ? begin(std::move(*access)) : pass_on(access);
  if (!begun) spdlog::warn("the end of the migration is left to libvirt: {}", begun.error().message);
  return begun.has_value();
}

// Until the migration is over, or QEMU does not answer.
void SteeredSend::look(const std::stop_token& over) {
  while (!over.stop_requested()) {
    auto figures = access_->qemu().figures(kSwitchoverTimeout);
    if (!figures) return spdlog::warn("{}", figures.error().message);
    auto ask_in = steering_->steer(*figures);
    if (!ask_in) {
      (void)sender_.interrupt(ask_in.error().message);  // unless it is too late for that
      return;
    }
    if (access_->wait_event(*ask_in)) access_->wait_event(access_->manner().quiet);
    steering_->note();
  }
}

void SteeredSend::stop_looking() {
  looks_.request_stop();
  if (looks_.joinable()) looks_.join();
}

// Asked of QEMU's monitor alone; libvirt is asked when all is over.
std::optional<Ended> SteeredSend::departed() {
  if (options_.monitor.empty()) return std::nullopt;
  stop_looking();
  const auto word = SourceWord::ask(*access_);
  return word ? word->verdict() : std::nullopt;
}

Report SteeredSend::conclude() {
  Report report = sender_.report();
  if (!access_) return report;
  const auto word = SourceWord::ask(*access_);
  if (word) {
    word->complete(report, failure_.failed());
  } else {
    spdlog::warn("{}", word.error().message);
  }
  return report;
}

}  // namespace wherry
