// The worker of one lane at the source: takes frames from the outbox, encodes and sends them.
//
// Used by one thread, its own.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "compression/batch_encoder.h"
#include "transport/lane/lane.h"
#include "transport/source/outflow.h"

namespace wherry {

class LaneWorker {
 public:
  // Lane `number` of `lanes`.
  LaneWorker(size_t number, size_t lanes, LaneSender& lane, Outflow& outflow);

  // Runs until the outbox is stopped, or has ended this lane. An error means that the lane is lost.
  Result<> run();

 private:
  Result<> send_batch(const OutFrame& frame);
  Result<> send_bytes(const OutFrame& frame);
  Result<> post(const FrameHeader& header, std::span<const uint8_t> table,
                std::span<const std::span<const uint8_t>> body);
  void tell_chooser();

  const size_t number_;
  const size_t lanes_;
  LaneSender& lane_;
  Outflow& outflow_;
  BatchEncoder encoder_;
  EncodedBatch encoded_;
};

}  // namespace wherry
