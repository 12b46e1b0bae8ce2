// A way to a QEMU that somebody else has told to migrate: its own monitor (QmpAccess), or libvirt, which has
// started that QEMU and keeps the monitor for itself (domain::LibvirtAccess). One thread at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <utility>

#include "qemu-glue/convergence/convergence.h"
#include "qemu-glue/convergence/qmp_source.h"
#include "qemu-glue/convergence/source_qemu.h"
#include "qemu-glue/monitor/qmp.h"

namespace wherry {

class SourceAccess {
 public:
  // What is special about a way.
  struct Manner {
    // What the guest's absence takes besides QEMU.
    convergence::Door door = {};
    // Milliseconds for which nobody asks after news: while the guest is handed over, questions delay that.
    std::chrono::milliseconds quiet{0};
    // Whether both hosts have agreed on how the migration went before it is said here.
    bool speaks_for_both = false;
  };

  virtual ~SourceAccess() = default;
  virtual convergence::SourceQemu& qemu() = 0;
  virtual pid_t process() const = 0;  // QEMU's
  virtual Manner manner() const = 0;
  // Waits until something happens to the guest or to its migration, for at most that long; whether it did.
  virtual bool wait_event(std::chrono::milliseconds longest) = 0;
};

class QmpAccess final : public SourceAccess {
 public:
  explicit QmpAccess(std::unique_ptr<Qmp> qmp) : qmp_(std::move(qmp)), source_(*qmp_) {}
  convergence::SourceQemu& qemu() override { return source_; }
  pid_t process() const override { return qmp_->peer_pid(); }
  Manner manner() const override { return {}; }
  bool wait_event(std::chrono::milliseconds longest) override {
    bool any = false;
    // Convergence hears of the guest's stop by itself. What the other events are does not matter.
    for (auto event = qmp_->next_event(longest); event; event = qmp_->next_event({})) any = true;
    return any;
  }

 private:
  const std::unique_ptr<Qmp> qmp_;
  convergence::QmpSource source_;
};

}  // namespace wherry
