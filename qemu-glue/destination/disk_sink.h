// One connection to a copy of a disk at the destination (an NBD server of QEMU's): dialled at once, since the
// server speaks first, written in the channel's order, and what it says carried back. Bytes only: what they
// mean is between the two QEMUs, and so is what an end of the connection means. Where nobody listens that
// connection ends, and nothing else: a guest may be on its way beside it.
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
  bool takes_ = false;  // as far as the writing thread has found
  std::thread listener_;
  Failure::Guard closer_;
};

}  // namespace wherry::qemu
