// A client of QEMU's machine protocol (QMP) on a unix socket: one JSON object a line, in both directions.
// Format: docs/interop/qmp-spec of QEMU; seen working with 7.2, 10.0 and 11.1.
//
// Ownership: the object owns the connection; QEMU serves one client at a time per monitor, so keep it no
// longer than needed. Threads: one at a time. Times are relative timeouts; an answer that comes after its
// timeout is recognised by its id and dropped. Errors: a command that QEMU refuses or answers too late leaves
// the connection usable; anything that loses the place in the stream (EOF, text that is no JSON, an over-long
// line, a half-sent command) breaks it for good: broken() then says why, and every later call returns that
// same Error.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "qemu-glue/monitor/monitor.h"

namespace wherry {

struct QmpEvent {
  std::string name;
  nlohmann::json data;  // an object; empty when the event carries nothing
  double time_s = 0;    // QEMU's wall clock, seconds since 1970; 0 when QEMU gave none
  // How long ago it was, of a QEMU on this host; 0 when QEMU gave no time.
  double age_s() const;
};

class Qmp final : public Monitor {
 public:
  // Longest line that is accepted from QEMU. Real ones stay far below (query-qmp-schema: 0.3 MB).
  static constexpr size_t kLongestLine = 16u << 20;
  // Events kept while nobody asks for them. MIGRATION_PASS alone can come ten thousand times a second, so the
  // oldest go first.
  static constexpr size_t kMostEvents = 65536;

  // Connects, reads the greeting and leaves negotiation mode, with out-of-band commands where QEMU offers
  // them.
  static Result<std::unique_ptr<Qmp>> connect(const std::string& path,
                                              std::chrono::milliseconds timeout = kMonitorTimeout);

  Result<nlohmann::json> execute(std::string_view command, nlohmann::json arguments = {},
                                 std::chrono::milliseconds timeout = kMonitorTimeout) override;
  // Runs beside the main loop, hence also while QEMU is stuck in a switchover; QEMU allows it for few
  // commands (yank, migrate-recover, migrate-pause). An Error where QEMU does not offer it.
  Result<nlohmann::json> execute_oob(std::string_view command, nlohmann::json arguments = {},
                                     std::chrono::milliseconds timeout = kMonitorTimeout);

  // The oldest event not yet taken, waiting for one if there is none. Nothing when none came in time, and
  // nothing when the connection is broken: ask broken() to tell the two apart. A timeout of zero takes what
  // has arrived.
  std::optional<QmpEvent> next_event(std::chrono::milliseconds timeout);

  // The process that listens on the monitor socket. That is QEMU itself when QEMU made the socket, but
  // whoever made it when QEMU was given a listening descriptor, as libvirt does.
  pid_t peer_pid() const { return peer_pid_; }
  bool has_oob() const { return oob_; }
  const std::optional<Error>& broken() const { return broken_; }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Got { line, timeout, broken };

  Qmp(std::string path, Fd socket) : path_(std::move(path)), socket_(std::move(socket)) {}

  Result<> greet(Clock::time_point deadline, std::chrono::milliseconds timeout);
  Result<nlohmann::json> request(const char* verb, std::string_view command, nlohmann::json arguments,
                                 std::chrono::milliseconds timeout);
  Result<> send_line(const std::string& line, Clock::time_point deadline);
  Got receive(nlohmann::json& message, Clock::time_point deadline);
  void keep_event(nlohmann::json& message);
  Got break_off(std::string reason);

  std::string path_;
  Fd socket_;
  pid_t peer_pid_ = -1;
  bool oob_ = false;
  uint64_t last_id_ = 0;
  std::string input_;    // received; its first taken_ bytes are done with,
  size_t taken_ = 0;     // and no line ends
  size_t searched_ = 0;  // between taken_ and searched_
  std::deque<QmpEvent> events_;
  std::optional<Error> broken_;
};

}  // namespace wherry
