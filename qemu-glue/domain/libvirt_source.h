// The monitor of a QEMU that libvirt started, for the convergence controller: libvirt keeps the real one for
// itself, so what is asked in QMP is answered by libvirt's API.
//
//   query-migrate             the figures of the domain's job; "device" once the guest has stopped
//   query-migrate-parameters  downtime-limit alone,
//   migrate-set-parameters    and that unless somebody else has set it through libvirt meanwhile
//                             (virsh migrate-setmaxdowntime): then theirs holds
//   query-cpus-fast           the threads of the vCPUs
//   migrate-start-postcopy
//
// libvirt would pass commands on as they are, too (virDomainQemuMonitorCommand), but marks the domain as
// tainted for that. It allows these calls while it migrates the domain; each takes about a millisecond, or as
// long as QEMU does not answer libvirt: timeouts do not count. An EventLoop has to run: without it no stop is
// heard of, and a libvirt that hangs is not noticed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "qemu-glue/domain/libvirt.h"
#include "qemu-glue/domain/typed_params.h"
#include "qemu-glue/monitor/monitor.h"

namespace wherry::domain {

class LibvirtSource final : public Monitor {
 public:
  // Of the domain whose QEMU that process is. An Error if it does not migrate away.
  static Result<std::unique_ptr<LibvirtSource>> open(const std::string& uri, pid_t qemu);
  ~LibvirtSource() override;

  Result<nlohmann::json> execute(std::string_view command, nlohmann::json arguments = {},
                                 std::chrono::milliseconds timeout = kMonitorTimeout) override;

  // Waits until libvirt says that the guest has stopped, goes on or has left this host, for so long; whether
  // it has. Each stop is told here, once.
  bool wait_event(std::chrono::milliseconds longest);

 private:
  // libvirt may call back once more after it was told not to.
  struct Heard {
    std::mutex mutex;
    std::condition_variable news;
    bool any = false;
    std::optional<std::chrono::steady_clock::time_point> stop;
  };
  LibvirtSource(Connection connection, Domain domain, pid_t qemu);
  Result<nlohmann::json> query_migrate();
  Result<uint64_t> downtime_limit();
  Result<> set_downtime_limit(uint64_t milliseconds);

  const Connection connection_;
  const Domain domain_;
  const pid_t qemu_;
  std::optional<uint64_t> set_;
  const std::shared_ptr<Heard> heard_ = std::make_shared<Heard>();
  int callback_ = -1;
};

// The answer to query-migrate, from libvirt's figures of a job of that type (virDomainJobType).
nlohmann::json as_query_migrate(int type, const TypedParams& figures, bool guest_runs);
// The answer to query-cpus-fast. libvirt has QEMU name its threads (debug-threads), those of vCPUs "CPU …".
nlohmann::json as_query_cpus_fast(pid_t process);

}  // namespace wherry::domain
