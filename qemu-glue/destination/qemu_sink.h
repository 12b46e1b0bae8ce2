// One channel's connection to the destination's QEMU: dialled with the channel's first bytes, written in the
// channel's order, listened to for what QEMU says on the way back.
//
// What QEMU does with its end is passed on to the source's QEMU unchanged and at once; the QEMUs judge what
// it means. What comes for a channel that QEMU has closed is dropped. If the session fails, the connection is
// closed. If QEMU may have the guest then, it is only ended in this direction (Ending::give_up).
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "base/failure.h"
#include "qemu-glue/destination/destination_guest.h"
#include "qemu-glue/stream/page_writer.h"
#include "qemu-glue/stream/return_path.h"
#include "transport/destination/destination_session.h"
#include "transport/destination/landing_site.h"
#include "transport/socket/endpoint.h"

namespace wherry::qemu {

class QemuSink : public ChannelSink {
 public:
  QemuSink(const Endpoint& qemu, uint16_t channel, ChannelKind kind, DestinationGuest& guest,
           DestinationSession& session, Failure& failure)
      : qemu_(qemu), channel_(channel), kind_(kind), guest_(guest), session_(session), failure_(failure) {}
  ~QemuSink() override;

  // An urgent channel is dialled at once: QEMU waits for it, and says nothing on it before it must.
  Result<> open();
  Result<> record(std::span<const uint8_t> bytes, uint16_t flags) override;
  Result<> pages(const PageBatch& batch, bool placed) override;
  Result<> close(bool both_ways) override;

 private:
  Result<> dial();
  void never_dialled(const Error& why);
  Result<> write(std::span<iovec> pieces);
  void listen();
  void hear(std::span<const uint8_t> bytes);

  const Endpoint qemu_;
  const uint16_t channel_;
  const ChannelKind kind_;
  DestinationGuest& guest_;
  DestinationSession& session_;
  Failure& failure_;
  Fd connection_;
  bool takes_ = true;                   // the writing thread has not found the connection closed
  std::atomic<bool> ended_ = false;     // QEMU has ended its direction
  std::atomic<bool> answered_ = false;  // QEMU has said something since the last write
  std::unique_ptr<PageWriter> writer_;
  ReturnPath return_path_;  // used by the listening thread only
  std::thread listener_;
  Failure::Guard closer_;
};

}  // namespace wherry::qemu
