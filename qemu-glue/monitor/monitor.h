// A way to ask one QEMU questions in QMP. Code that needs answers and no events takes a Monitor&, so that it
// works over QEMU's own monitor socket (qmp.h), over libvirt, which keeps that socket for itself, and in
// tests. One thread at a time, unless an implementation says more.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "compression/result.h"

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
};

}  // namespace wherry
