#include "qemu-glue/cli/interruption.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdlib>

#include "qemu-glue/cli/commands.h"

namespace wherry::cli {
namespace {

// The longest time from a signal to the end of the command.
constexpr std::chrono::milliseconds kAtOnce{150};
constexpr std::chrono::milliseconds kWithMonitor{1900};

}  // namespace

Interruption::Interruption(Answers answers)
    : answers_(std::move(answers)), heard_([this](int signal) { hear(signal); }) {}

std::string Interruption::monitors(const std::string& destination, const std::string& source) {
  return fmt::format(
      "Ask the destination's QEMU first ({}). If its query-migrate says completed, the guest is there: quit "
      "the source's QEMU, then resume the guest (cont). If it says postcopy-…, the guest is there without "
      "some of its memory: quit neither QEMU; recover with migrate-recover there, then migrate with resume "
      "at the source. If it says anything else, or does not answer, quit it, then ask the source's QEMU "
      "({}): the guest is there; resume it with cont if it does not run",
      destination, source);
}

Interruption::~Interruption() {
  Lock lock(mutex_);
  over_ = true;
  ended_.notify_all();
}

void Interruption::hear(int signal) {
  {
    Lock lock(mutex_);
    if (signal_ == 0) signal_ = signal;
  }
  const std::string why = fmt::format("interrupted by {}", signal == SIGINT ? "SIGINT" : "SIGTERM");
  if (waits_) {
    spdlog::error("{}: it is not known where the guest is. {}", why, answers_.leaves);
    answers_.leave();
    return end_in_time(Outcome::unknown, why);
  }
  if (!answers_.interrupt(why)) {
    waits_ = true;
    return spdlog::warn("{}: {}; interrupt again to stop waiting", why, answers_.waits);
  }
  spdlog::warn("{}: the guest stays at the source", why);
  end_in_time(Outcome::cancelled, why);
}

void Interruption::end_in_time(Outcome outcome, const std::string& why) {
  Lock lock(mutex_);
  const auto until = std::chrono::steady_clock::now() + (answers_.asks_monitor() ? kWithMonitor : kAtOnce);
  while (!over_ && ended_.wait_until(mutex_, until)) continue;
  if (over_) return;
  answers_.last(outcome, why);
  lock.unlock();
  std::_Exit(exit_status(outcome));
}

Outcome Interruption::outcome(Outcome ended) const {
  Lock lock(mutex_);
  return ended == Outcome::failed && signal_ ? Outcome::cancelled : ended;
}

int Interruption::exit_status(Outcome ended) const {
  switch (ended) {
    case Outcome::completed:
      return kCompleted;
    case Outcome::failed:
    case Outcome::cancelled: {
      Lock lock(mutex_);
      return signal_ ? kSignalled + signal_ : kFailed;
    }
    case Outcome::unknown:
      break;
  }
  return kUnknown;
}

}  // namespace wherry::cli
