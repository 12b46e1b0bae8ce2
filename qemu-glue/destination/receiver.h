// One migration's end at the destination: takes a session and gives its channels to the destination's QEMU.
//
//   open() ─▶ run(): wait for a source ─▶ dial QEMU ─▶ learn where guest RAM is ─▶ land ─▶ outcome
//
// QEMU is dialled once for each channel, the main one first, and only when that channel's first bytes are
// there: a silent or a probing connection would count as a channel. If anything fails before QEMU can have
// the guest, all connections are closed, so that QEMU gives up what it has loaded. After that, its word is
// awaited, and kept for a sender that comes back. Thread-safe: other threads can use report(), interrupt(),
// leave() and the Failure while run() runs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/failure.h"
#include "base/mutex.h"
#include "base/reserve.h"
#include "base/trace.h"
#include "qemu-glue/destination/destination_report.h"
#include "qemu-glue/destination/direct_placement.h"
#include "qemu-glue/destination/qemu_sink.h"
#include "qemu-glue/memory/guest_ram.h"
#include "qemu-glue/outcome/report.h"
#include "qemu-glue/uri.h"
#include "transport/destination/destination_session.h"
#include "transport/socket/listener.h"

namespace wherry {

class Receiver : public LandingSite {
 public:
  struct Options {
    Uri listen;     // where to listen (hosts), how to place pages, which fabric lanes may use
    Endpoint qemu;  // where the destination's QEMU waits for a migration
    std::optional<Endpoint> disks = {};  // where its NBD server waits for copies of the guest's disks
    // Finds the guest's memory, for direct placement; asked when QEMU is dialled. `process` is QEMU's, or -1.
    std::function<Result<GuestRam>(pid_t process)> memory;
    // Whether QEMU itself says that it has the guest; asked if the stream does not tell. Nothing: it cannot
    // be asked. May be empty.
    std::function<std::optional<bool>(pid_t process)> arrived = {};
    Trace* trace = nullptr;  // where the session's events go; null: nowhere
    // Called when a sender has come with all of its lanes. May be empty.
    std::function<void()> begun = {};
  };

  Receiver(Options options, Failure& failure);
  ~Receiver() override;

  // Listens. A sender can connect when this has returned.
  Result<> open();
  // Or takes the connections that come to this listener.
  void open(Listener listener);
  const Listener& listener() const { return *listener_; }
  // Returns when the migration is over. If it is not known to have completed, that is an error, with the
  // cause. The report has the Outcome.
  Result<> run();
  Report report() const { return report_.report(); }
  // Ends the migration. False if QEMU may have the guest by now: then leave() ends the waiting for its word.
  bool interrupt(const std::string& why);
  void leave();

  Result<std::unique_ptr<ChannelSink>> open(uint16_t channel, ChannelKind kind) override;
  Result<std::unique_ptr<Placement>> blocks(const GuestBlocks& blocks) override;
  void lane_lost(size_t lane, const std::string& why) override;
  void placement_withdrawn() override;
  Guest give_up() override;

 private:
  void choose_mode();
  Result<GuestRam> find_memory() const;
  Ended carry();
  Ended when_failed(const Error& why);
  Ended outcome(const nlohmann::json& source);
  void ask();
  nlohmann::json account(const nlohmann::json& source);

  const Options options_;
  Failure& failure_;
  const Tracer trace_;
  std::optional<Listener> listener_;
  std::optional<GuestRam> ram_;
  PlacementMode mode_ = PlacementMode::automatic;  // what this side and the source ask for, combined
  qemu::DestinationGuest guest_;
  std::unique_ptr<DestinationSession> session_;
  Mutex asking_;     // QEMU's monitor has one client at a time
  Reserve reserve_;  // descriptors for asking QEMU's monitor
  DestinationReport report_;
  Failure::Guard closer_;
};

}  // namespace wherry
