// A client of QEMU's machine protocol (QMP) on a unix socket: one JSON object per line, in both directions.
// Format: docs/interop/qmp-spec of QEMU; checked with 7.2, 10.0 and 11.1.
//
// Ownership: the object owns the connection. QEMU serves one client at a time per monitor, so keep it no
// longer than needed. Threads: one at a time. Timeouts are relative. An answer that comes after its timeout
// is recognised by its id and dropped.
//
// Errors: a command that QEMU refuses or answers too late leaves the connection usable. After EOF, text that
// is not JSON, an overlong line or a command that was sent only in part, the connection is unusable: broken()
// says why, and every later call returns that Error.
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
#include "base/peer_process.h"
#include "base/result.h"
#include "qemu-glue/monitor/monitor.h"

namespace wherry {

struct QmpEvent {
  std::string name;
  nlohmann::json data;  // an object, possibly empty
  double time_s = 0;    // QEMU's wall clock, in seconds since 1970; 0 if the event has no timestamp
  // Seconds since the event, if QEMU is on this host; 0 if the event has no timestamp.
  double age_s() const;
};

class Qmp final : public Monitor {
 public:
  // The longest line that is accepted from QEMU, in bytes. The longest real one has 0.3 MB
  // (query-qmp-schema).
  static constexpr size_t kLongestLine = 16u << 20;
  // Limit of events that wait for next_event(); beyond it the oldest are dropped. MIGRATION_PASS alone can
  // come ten thousand times a second.
  static constexpr size_t kMostEvents = 65536;

  // Connects, reads the greeting and leaves negotiation mode. Enables out-of-band commands if QEMU offers
  // them.
  static Result<std::unique_ptr<Qmp>> connect(const std::string& path,
                                              std::chrono::milliseconds timeout = kMonitorTimeout);

  Result<nlohmann::json> execute(std::string_view command, nlohmann::json arguments = {},
                                 std::chrono::milliseconds timeout = kMonitorTimeout) override;
  // Runs a command outside QEMU's main loop, so it works during a switchover too. QEMU allows that for a few
  // commands (yank, migrate-recover, migrate-pause). An Error if this QEMU does not offer it.
  Result<nlohmann::json> execute_oob(std::string_view command, nlohmann::json arguments = {},
                                     std::chrono::milliseconds timeout = kMonitorTimeout);

  // Removes and returns the oldest event; waits for one if there is none. Nothing if none comes in time or
  // the connection is broken; broken() tells which. With a timeout of zero, only what has already arrived
  // counts.
  std::optional<QmpEvent> next_event(std::chrono::milliseconds timeout);

  // The process that created the monitor's listening socket: QEMU, or libvirt if it passed QEMU the
  // descriptor. -1: it is not known.
  pid_t peer_pid() const { return peer_ ? peer_->number() : -1; }
  // Whether that process is known and has not ended: until then nobody else has its number.
  bool peer_runs() const { return peer_ && !peer_->has_ended(); }
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

  std::string path_;  // printable, for messages
  Fd socket_;
  std::optional<PeerProcess> peer_;
  bool oob_ = false;
  uint64_t last_id_ = 0;
  std::string input_;    // bytes received
  size_t taken_ = 0;     // bytes of input_ that were processed
  size_t searched_ = 0;  // offset in input_; no line ends between taken_ and here
  std::deque<QmpEvent> events_;
  std::optional<Error> broken_;
};

}  // namespace wherry
