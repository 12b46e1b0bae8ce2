// One connection to the copy of a disk at the destination (an NBD server in QEMU). It is dialled at once,
// because the server speaks first. Bytes are written in the channel's order, and what the server says is
// carried back. What the bytes mean, and what an end of the connection means, is left to the two QEMUs. If
// nobody listens, only this connection ends, because a guest may be on its way beside it.
#pragma once

#include <memory>
#include <thread>

#include "base/failure.h"
#include "transport/destination/destination_session.h"
#include "transport/destination/landing_site.h"
#include "transport/socket/endpoint.h"

namespace wherry::qemu {

class DiskSink : public ChannelSink {
 public:
  static Result<std::unique_ptr<DiskSink>> open(const Endpoint& disks, uint16_t channel,
                                                DestinationSession& session, Failure& failure);
  ~DiskSink() override;

  Result<> record(std::span<const uint8_t> bytes, uint16_t flags) override;
  Result<> pages(const PageBatch& batch, bool placed) override;
  Result<> close(bool both_ways) override;

 private:
  DiskSink(uint16_t channel, DestinationSession& session) : channel_(channel), session_(session) {}
  void listen();

  const uint16_t channel_;
  DestinationSession& session_;
  Fd connection_;
  bool takes_ = false;  // dialled, and the writing thread has not found it closed
  std::thread listener_;
  Failure::Guard closer_;
};

}  // namespace wherry::qemu
