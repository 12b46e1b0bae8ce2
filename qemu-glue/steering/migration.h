// A whole migration between two QEMUs whose monitors can be reached from here: all steps, both ends.
//
//   ask both ─▶ set capabilities and limits ─▶ [stop] ─▶ receiver, sender ─▶ migrate ─▶ wait ─▶ [cont] there
//
// Where the guest goes on, and when, is GuestHandover's affair. After a failure it stays at the source as it
// was, and what was set there is set back. run() is called once, by one thread; all else by any.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/failure.h"
#include "base/mutex.h"
#include "qemu-glue/destination/receiver.h"
#include "qemu-glue/monitor/qmp.h"
#include "qemu-glue/outcome/report.h"
#include "qemu-glue/source/sender.h"
#include "qemu-glue/steering/guest_handover.h"
#include "qemu-glue/steering/migration_settings.h"
#include "qemu-glue/steering/source_steering.h"
#include "qemu-glue/uri.h"
#include "transport/socket/endpoint.h"

namespace wherry {

class Migration {
 public:
  struct Options {
    std::string from;        // path of the source's monitor
    std::string to;          // of the destination's
    Uri via;                 // the way between them; port 0: any
    bool paused = false;     // non-live: the guest is stopped first
    Trace* trace = nullptr;  // where the events of both ends go; null: nowhere
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
  // One of the two QEMUs.
  struct End {
    std::unique_ptr<Qmp> monitor;
    uid_t user = 0;  // as whom it runs
  };
  Result<> connect();
  Result<> prepare();
  Result<> carry();
  Result<> migrate(const std::string& outgoing);
  Result<Endpoint> destination_socket(const std::string& incoming);
  Result<> wait_source(SourceSteering& steering);
  void undo();
  bool is_given_up() const { return handover_ && handover_->is_given_up(); }

  const Options options_;
  End source_;
  End destination_;
  std::optional<MigrationSettings> before_;  // the source's
  bool cancelled_by_others_ = false;
  std::atomic<bool> begun_ = false;
  std::atomic<bool> sent_ = false;  // the Sender has ended

  Failure failure_;
  std::atomic<bool> cancelled_ = false;
  mutable Mutex mutex_;
  // run()'s thread sets the next three with the lock held, and reads them without; others read them with it.
  std::optional<GuestHandover> handover_;  // from connect() on
  std::unique_ptr<Receiver> receiver_;
  std::unique_ptr<Sender> sender_;
  Report report_ WHERRY_GUARDED_BY(mutex_);  // what neither end knows
};

}  // namespace wherry
