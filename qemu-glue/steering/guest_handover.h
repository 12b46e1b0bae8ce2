// Which of two QEMUs is to run the guest, while it goes from one to the other and both monitors are here.
//
//   begin() ─▶ [stop()] ─▶ watch(), again and again ─▶ given_up(true) ─▶ resume_there() | [postcopy_begins()]
//                                                └──▶ undo()
//
// The guest goes on at the destination only once the source's QEMU has given it up, and only if it was live
// until then: whoever stops it at the source meanwhile, or lets it go on, is obeyed. One thread at a time,
// but is_given_up() may be called by any.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "qemu-glue/monitor/monitor.h"
#include "qemu-glue/monitor/qmp.h"

namespace wherry {

class GuestHandover {
 public:
  // One QEMU: its monitor, and that monitor's events (Qmp::next_event).
  struct Side {
    Monitor& monitor;
    std::function<std::optional<QmpEvent>(std::chrono::milliseconds timeout)> next_event;
  };
  static Side side(Qmp& qmp);

  GuestHandover(Side source, Side destination);

  // Before the migration: whether the guest is live. An Error: the source cannot give such a guest up, or the
  // destination's QEMU, whose monitor is at `destination`, does not wait for one.
  Result<> begin(const std::string& destination);
  // Stops the guest at the source, and has the destination's QEMU leave it stopped.
  Result<> stop();
  // Waits for an event of the source's QEMU, for at most that long, and notes whether the guest lives and
  // when QEMU stopped it. An Error: the migration is to be ended, for no other QEMU takes such a guest over.
  Result<> watch(std::chrono::milliseconds longest);

  // Whether the source's QEMU has given the guest up, as the owner finds it.
  void given_up(bool whether) { given_up_ = whether; }
  bool is_given_up() const { return given_up_; }
  // The guest goes on there, if it is to. An Error: it does not, within a minute.
  Result<> resume_there();
  // The source's QEMU has given the guest up by postcopy: it goes on while the rest of its memory comes. An
  // Error: it does not.
  Result<> postcopy_begins();
  // Whether the guest has run at the destination, by its QEMU's word.
  bool ran_there() const { return ran_there_; }
  // The source's QEMU has sent all of a guest by postcopy, and its migration has failed: stops the guest if
  // that QEMU lets it go on.
  void keep_stopped_here();
  // The migration has failed, and the source's QEMU has not said that it gave the guest up. Whether the
  // destination's QEMU has the guest all the same: a sentence, with what to do. Nothing: it does not.
  std::optional<std::string> found_there();
  // The guest stays at the source: it goes on if stop() has stopped it.
  void undo();
  // How long the guest was stopped, in milliseconds. Nothing: not by the migration, or it has not gone on
  // yet.
  std::optional<double> downtime_ms() const;

 private:
  bool hears_resume();

  const Side source_;
  const Side destination_;
  bool live_ = false;       // the guest is to go on: at the source now, or when that gave it up
  bool stopped_ = false;    // by stop()
  bool resumed_ = false;    // the destination's QEMU was told to run the guest, if it is to
  bool ran_there_ = false;  // see ran_there()
  std::atomic<bool> given_up_ = false;
  std::optional<double> stop_s_;    // when the source's QEMU stopped the guest: seconds of the wall clock
  std::optional<double> resume_s_;  // when it went on at the destination: seconds of the wall clock
};

}  // namespace wherry
