#include "qemu-glue/source/intake.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "base/start_thread.h"
#include "qemu-glue/source/qemu_socket.h"

namespace wherry {

Result<std::unique_ptr<Intake>> Intake::open(Options options, const qemu::Ending& ending, Failure& failure) {
  auto listener = listen_for_qemu(options.at, options.user);
  if (!listener) return pass_on(listener);
  std::unique_ptr<Intake> intake(new Intake(std::move(options), std::move(*listener), ending, failure));
  if (auto kept = intake->reserve_.keep(1); !kept) return pass_on(kept);
  return intake;
}

Intake::Intake(Options options, Listener listener, const qemu::Ending& ending, Failure& failure)
    : options_(std::move(options)), listener_(std::move(listener)), ending_(ending), failure_(failure) {}

Intake::~Intake() {
  end();
}

Result<> Intake::start() {
  auto accepts = start_thread("intake", [this] { run(); });
  if (!accepts) return pass_on(accepts);
  thread_ = std::move(*accepts);
  return {};
}

void Intake::end() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void Intake::run() {
  for (;;) {
    auto connection = listener_.accept(options_.silence);
    if (!connection && listener_.stopped()) return;
    auto taken = connection ? options_.take(std::move(*connection)) : pass_on(connection);
    if (taken) continue;
    if (ending_.state() == qemu::Ending::State::cannot) return failure_.fail(std::move(taken.error()));
    spdlog::error("{}", taken.error().message);
    if (!connection) turn_away();
  }
}

void Intake::turn_away() {
  reserve_.release();
  (void)listener_.accept_waiting();
  if (!reserve_.keep(1)) listener_.back_off();  // somebody else was quicker
}

}  // namespace wherry
