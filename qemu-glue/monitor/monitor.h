// A way to ask one QEMU questions in QMP. Code that needs answers, and of all events only the guest's stop,
// takes a Monitor&. So it works with QEMU's monitor socket (qmp.h), and in tests. One thread at a time,
// unless an implementation says more.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace wherry {

// Long enough for a QEMU whose main loop is busy with a migration, short enough for a person to wait for.
constexpr std::chrono::milliseconds kMonitorTimeout{10'000};
// In the switchover the source's monitor does not answer for as long as that takes.
constexpr std::chrono::seconds kSwitchoverTimeout{60};

class Monitor {
 public:
  virtual ~Monitor() = default;

  // The `return` value of a QMP command. Null `arguments` are left out. An `error` answer is an Error that
  // names the command and carries QEMU's own description.
  virtual Result<nlohmann::json> execute(std::string_view command, nlohmann::json arguments = {},
                                         std::chrono::milliseconds timeout = kMonitorTimeout) = 0;

  // What a command of the human monitor (HMP) prints; lines end in "\r\n". HMP has no error answers: a
  // refusal is just another text.
  Result<std::string> human(std::string_view command_line,
                            std::chrono::milliseconds timeout = kMonitorTimeout);

  // Whoever waits for QEMU here is to call `heard` when the guest has stopped, with how many seconds ago that
  // was: while a question is open as well, for in the switchover that takes as long as the guest is away.
  // `heard` may not ask. Empty: nobody wants to know any more.
  void on_stop(std::function<void(double ago)> heard) { on_stop_ = std::move(heard); }

 protected:
  void stopped(double ago) const {
    if (on_stop_) on_stop_(ago);
  }

 private:
  std::function<void(double ago)> on_stop_;
};

}  // namespace wherry
