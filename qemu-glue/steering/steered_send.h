// A migration away from a QEMU that somebody else tells to migrate (`wherry send`): the Sender, and the way
// to that QEMU, if there is one.
//
//   open() ─▶ run(): the Sender; in a thread of its own, looks at QEMU ─▶ conclude(): the report
//
// QEMU's own monitor is there from the beginning. Which QEMU libvirt migrates shows only when that has
// connected, and it may not answer then because it waits for Wherry, as in a TLS handshake. So libvirt is
// asked in the thread, which holds up no data. What libvirt refuses is left to it and to QEMU.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "base/failure.h"
#include "qemu-glue/outcome/report.h"
#include "qemu-glue/source/sender.h"
#include "qemu-glue/steering/source_access.h"
#include "qemu-glue/steering/source_steering.h"
#include "qemu-glue/uri.h"
#include "transport/socket/endpoint.h"

namespace wherry {

class SteeredSend {
 public:
  struct Options {
    Endpoint qemu;                       // as of Sender::Options
    std::optional<Endpoint> disks = {};  // as of Sender::Options
    Uri uri;                             // of the receiver
    std::string monitor = {};            // path of QEMU's monitor; empty: there is none
    Trace* trace = nullptr;              // as of Sender::Options
    // Opens another way to the QEMU with that process, where there is no monitor. May be empty.
    std::function<Result<std::unique_ptr<SourceAccess>>(pid_t qemu)> access = {};
  };

  SteeredSend(Options options, Failure& failure);

  // To interrupt it, to limit it, and for its report as it stands.
  Sender& sender() { return sender_; }
  // Connects to the monitor and to the receiver: from its return on QEMU may connect.
  Result<> open();
  // Returns when the migration is over.
  void run();
  // After that: the report, with what QEMU says of the end.
  Report conclude();

 private:
  Result<> begin(std::unique_ptr<SourceAccess> access);
  bool reach_late(const std::stop_token& over);
  void look(const std::stop_token& over);
  void stop_looking();
  std::optional<Ended> departed();

  const Options options_;
  Failure& failure_;
  Sender sender_;
  std::unique_ptr<SourceAccess> access_;      // null: there is none, or not yet; the thread's while that runs
  std::unique_ptr<SourceSteering> steering_;  // as access_, until the migration is over
  std::jthread looks_;
};

}  // namespace wherry
