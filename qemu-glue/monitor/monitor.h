// A way to ask one QEMU questions in QMP. Code that needs answers, and of all events only the guest's stop,
// takes a Monitor&. So it works over QEMU's monitor socket (qmp.h), and in tests. Used by one thread at a
// time, unless an implementation says more.
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
// The source's monitor does not answer during the switchover.
constexpr std::chrono::seconds kSwitchoverTimeout{60};

class Monitor {
 public:
  virtual ~Monitor() = default;

  // The `return` value of a QMP command. Null `arguments` are omitted. An `error` answer becomes an Error
  // with the command and QEMU's description.
  virtual Result<nlohmann::json> execute(std::string_view command, nlohmann::json arguments = {},
                                         std::chrono::milliseconds timeout = kMonitorTimeout) = 0;

  // The output of a command of the human monitor (HMP); lines end in "\r\n". HMP has no error answers: a
  // refusal is text as well.
  Result<std::string> human(std::string_view command_line,
                            std::chrono::milliseconds timeout = kMonitorTimeout);

  // Sets the callback for the guest's stop; `ago` is in seconds. It is called by the thread that waits for
  // QEMU, also while a command waits for its answer, because in the switchover that takes as long as the
  // downtime. `heard` must not use the monitor. An empty function removes it.
  void on_stop(std::function<void(double ago)> heard) { on_stop_ = std::move(heard); }

 protected:
  void stopped(double ago) const {
    if (on_stop_) on_stop_(ago);
  }

 private:
  std::function<void(double ago)> on_stop_;
};

}  // namespace wherry
