// A way to a ScriptedMonitor.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

#include "qemu-glue/steering/source_access.h"
#include "tests/qemu-glue/monitor/scripted_monitor.h"

namespace wherry::test {

class ScriptedAccess : public SourceAccess {
 public:
  ScriptedAccess(ScriptedMonitor& qemu, Manner manner) : source_(qemu), manner_(manner) {}
  convergence::SourceQemu& qemu() override { return source_; }
  pid_t process() const override { return 0; }
  Manner manner() const override { return manner_; }
  bool wait_event(std::chrono::milliseconds longest) override {
    std::this_thread::sleep_for(std::min(longest, std::chrono::milliseconds(1)));
    return false;
  }

 private:
  convergence::QmpSource source_;
  const Manner manner_;
};

}  // namespace wherry::test
