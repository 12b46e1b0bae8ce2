// A whole migration between two QEMUs whose monitors can be reached from here: all steps, both ends.
//
//   ask both ─▶ set capabilities and limits ─▶ [stop] ─▶ receiver, sender ─▶ migrate ─▶ wait ─▶ [cont] there
//
// The guest goes on at the destination only when the source's QEMU has given it up, and only if it was live
// then (RunState): whoever stops it at the source while it migrates, or lets it go on, is obeyed. After a
// failure it stays at the source as it was, and what was set there is set back. run() is called once, by one
// thread; all else by any.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "base/failure.h"
#include "qemu-glue/destination/receiver.h"
#include "qemu-glue/monitor/qmp.h"
#include "qemu-glue/outcome/report.h"
#include "qemu-glue/source/sender.h"
#include "qemu-glue/steering/migration_settings.h"
#include "qemu-glue/uri.h"
#include "transport/socket/endpoint.h"

namespace wherry {

class Migration {
 public:
  struct Options {
    std::string from;     // path of the source's monitor
    std::string to;       // of the destination's
    Uri via;              // the way between them; port 0: any
    bool paused = false;  // non-live: the guest is stopped first
  };

  explicit Migration(Options options);
  ~Migration();

  Result<> run();
  // Ends the migration, unless the destination's QEMU may have the guest by now: false. Then leave() ends the
  // waiting for its word.
  bool cancel(const std::string& why);
  void leave();
  // Whether the source's QEMU has to be asked to give up, and set back to what it was.
  bool begun() const { return begun_; }
  Report report() const;

 private:
  Result<> connect();
  Result<> prepare();
  Result<> stop();
  Result<> carry();
  Result<> migrate(const std::string& outgoing);
  Result<Endpoint> destination_socket(const std::string& incoming);
  Result<> wait_source(convergence::Convergence& converging);
  Result<> begin_postcopy();
  void stay_away();
  Result<> resume_destination();
  void look_for_guest(Result<>& done);
  void undo();
  void watch_source(std::chrono::milliseconds moment);

  const Options options_;
  std::unique_ptr<Qmp> source_;
  std::unique_ptr<Qmp> destination_;
  std::optional<MigrationSettings> before_;  // the source's
  bool live_ = false;       // whether the guest is to go on: at the source now, or when that gave it up
  bool stopped_ = false;    // by us
  bool resumed_ = false;    // at the destination, if it is to go on
  bool ran_there_ = false;  // as that QEMU has said
  bool cancelled_by_others_ = false;
  uid_t source_user_ = 0;  // as whom the two QEMUs run
  uid_t destination_user_ = 0;
  std::atomic<bool> begun_ = false;
  std::atomic<bool> gone_ = false;  // the source's QEMU has given the guest up
  std::atomic<bool> sent_ = false;  // the sender has ended
  std::optional<double> stop_s_;    // when the guest stopped at the source, and went on at the destination
  std::optional<double> resume_s_;

  Failure failure_;
  std::atomic<bool> cancelled_ = false;
  mutable std::mutex mutex_;  // guards what follows
  std::unique_ptr<Receiver> receiver_;
  std::unique_ptr<Sender> sender_;
  Report report_;  // what neither end knows
};

}  // namespace wherry
