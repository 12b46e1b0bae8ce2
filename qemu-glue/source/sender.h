// One migration's end at the source: takes the connections of the source's QEMU and carries them to a
// receiver.
//
//   open() ─▶ run(): accept channels … all have ended ─▶ take leave ─▶ outcome
//
// Whatever fails before the destination's QEMU can have the guest, every connection of QEMU's is closed
// promptly, so that QEMU reports a failed migration and its guest runs on. Later they are held, for as long
// as `resume` says, until the destination's QEMU has said its word. Thread-safe: report(), interrupt(),
// leave() and the Failure may be used by others while run() runs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event.h"
#include "base/failure.h"
#include "qemu-glue/convergence/convergence.h"
#include "qemu-glue/monitor/monitor.h"
#include "qemu-glue/outcome/report.h"
#include "qemu-glue/source/channel_set.h"
#include "qemu-glue/source/intake.h"
#include "qemu-glue/source/source_guest.h"
#include "qemu-glue/source/source_report.h"
#include "qemu-glue/stream/return_path.h"
#include "qemu-glue/uri.h"
#include "transport/source/source_session.h"

namespace wherry {

class Sender {
 public:
  struct Options {
    Endpoint qemu;                       // where to listen for the source's QEMU
    std::optional<Endpoint> disks = {};  // where to listen for its connections to copies of its disks (NBD)
    Uri uri;                             // of the receiver
    Trace* trace = nullptr;              // where the session's events go; null: nowhere
    // How it went, as QEMU itself says; asked if the stream does not tell. Nothing: QEMU does not know. May
    // be empty.
    std::function<std::optional<Ended>()> departed = {};
  };

  Sender(Options options, Failure& failure);
  ~Sender();

  // Connects to the receiver, then listens for QEMU: from its return on QEMU may connect. `user`: as whom
  // QEMU runs, where that is known.
  Result<> open(std::optional<uid_t> user = {});
  const Endpoint& where() const { return intake_->where(); }
  // Returns when the migration is over. If it is not known to have completed, that is an error, with the
  // cause. The report has the Outcome.
  Result<> run();
  // Ends the migration. False if the destination's QEMU may have the guest by now: then leave() ends the
  // waiting for its word.
  bool interrupt(const std::string& why);
  void leave();
  // What happened so far.
  Report report() const { return report_.report(); }
  // After open(): bytes a second that all lanes send at most from now on; 0: no limit.
  void set_bandwidth(uint64_t bandwidth) { session_->set_bandwidth(bandwidth); }
  // The source's QEMU, once it has come over a unix socket; else 0.
  pid_t qemu_process() const { return guest_.process(); }
  // How large the guest's pages are, where its stream does not say it: asked of QEMU's monitor before QEMU
  // comes, and then heard with its figures. Nothing: QEMU has not said it yet.
  void ask_page_size(Monitor& qemu);
  void hear_page_size(std::optional<uint32_t> bytes);
  // For the convergence controller: what the lanes are at, and what it makes of that, for the report.
  convergence::Lanes lanes() const;
  void note(convergence::State state);

 private:
  Result<> open_session();
  Result<> open_intakes(std::optional<uid_t> user);
  void hear(uint16_t channel, std::vector<uint8_t> bytes);
  void hear_close(uint16_t channel, bool both_ways);
  uint32_t settle();
  std::optional<SourceReport::LastPage> last_page() const;
  void sample();
  Ended finish();
  std::optional<Ended> departed() const;
  Ended when_failed(const Error& why);
  Result<Ended> read_account(const nlohmann::json& account);

  const Options options_;
  Failure& failure_;
  qemu::SourceGuest guest_;
  qemu::ReturnPath return_path_;  // read along; by one thread after the other
  std::unique_ptr<SourceSession> session_;
  qemu::ChannelSet channels_;
  SourceReport report_;
  std::unique_ptr<Intake> intake_;       // of the guest's channels
  std::unique_ptr<Intake> disk_intake_;  // null: no disks move along
  Event left_;                           // nobody waits for the destination's word any more
  Failure::Guard closer_;
};

}  // namespace wherry
