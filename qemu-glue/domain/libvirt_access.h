// The way to a QEMU that libvirt migrates, for whoever steers that migration (SteeredSend). It runs the
// EventLoop that LibvirtSource needs.
#pragma once

#include <memory>
#include <string>

#include "qemu-glue/domain/event_loop.h"
#include "qemu-glue/domain/libvirt_source.h"
#include "qemu-glue/steering/source_access.h"

namespace wherry::domain {

class LibvirtAccess final : public SourceAccess {
 public:
  // `uri`: of the libvirt that started the QEMU with that process. An Error if it does not migrate away.
  static Result<std::unique_ptr<SourceAccess>> open(const std::string& uri, pid_t process);

  convergence::SourceQemu& qemu() override { return *source_; }
  pid_t process() const override { return process_; }
  Manner manner() const override;
  bool wait_event(std::chrono::milliseconds longest) override { return source_->wait_event(longest); }

 private:
  explicit LibvirtAccess(pid_t process) : process_(process) {}

  const pid_t process_;
  const EventLoop events_;  // from before the connection until after it
  std::unique_ptr<LibvirtSource> source_;
};

}  // namespace wherry::domain
