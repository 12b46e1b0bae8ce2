#include "qemu-glue/steering/source_steering.h"

#include <utility>

namespace wherry {

SourceSteering::SourceSteering(Sender& sender, std::unique_ptr<convergence::Convergence> converging)
    : sender_(sender), converging_(std::move(converging)) {}

Result<std::unique_ptr<SourceSteering>> SourceSteering::begin(convergence::SourceQemu& qemu, pid_t process,
                                                              const convergence::Door& door, const Uri& wish,
                                                              Sender& sender) {
  auto converging = convergence::Convergence::begin(
      qemu, process, wish, [&sender] { return sender.lanes(); }, door);
  if (!converging) return pass_on(converging);
  return std::unique_ptr<SourceSteering>(new SourceSteering(sender, std::move(*converging)));
}

Result<std::chrono::milliseconds> SourceSteering::steer(const qemu::MigrationFigures& figures) {
  sender_.hear_page_size(figures.page_size);
  auto ask_in = converging_->look(figures);
  note();
  return ask_in;
}

}  // namespace wherry
