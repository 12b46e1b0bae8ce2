// The source's half of a lane over a fabric (fabric_message.h has what goes over it).
//
// A body of at least 64 KiB that consists of raw pages in slots is offered, and written where the destination
// wants it. Every other body goes in messages, after its head. Several bodies are offered at once, so that a
// lane does not wait for grants. No more messages are sent than the destination has buffers for: each needs a
// credit, which the destination gives back.
//
// If something does not get through, the link is dead and the lane ends. While there is nothing to send, the
// source sends beats, so that a dead link is found before the lane is needed.
//
// Bodies that are written have no checksum: the device has its own (RoCE's ICRC, InfiniBand's). With
// verify=on each batch begins with a pack of its pages' digests, so none is offered.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "transport/fabric/fabric_connection.h"
#include "transport/fabric/fabric_message.h"
#include "transport/lane/lane.h"

namespace wherry {

// The buffers that the source's connection of a lane needs.
FabricConnection::Shape fabric_source_shape();

class FabricLaneSender : public LaneSender {
 public:
  explicit FabricLaneSender(std::unique_ptr<FabricConnection> connection);

  Result<> attach(std::span<uint8_t> memory) override;
  Result<> post(FrameHeader header, std::span<const uint8_t> table,
                std::span<const std::span<const uint8_t>> body) override;
  Result<> complete() override;
  void shut() override { connection_->shut(); }
  // Takes the destination's answers, writes what they grant, and sends beats.
  Error await_end() override;
  uint64_t bytes_sent() const override { return sent_bytes_; }
  uint64_t bytes_waiting() const override { return connection_->bytes_waiting() + offered_bytes_; }
  uint64_t bytes_on_way() const override { return bytes_waiting(); }
  std::string peer() const override { return connection_->peer(); }

 private:
  using Pieces = std::vector<std::span<const uint8_t>>;
  bool can_offer(const FrameHeader& header, std::span<const std::span<const uint8_t>> body) const;
  Pieces merged(std::span<const std::span<const uint8_t>> body) const;
  Result<> post_messages(FrameHeader header, std::span<const uint8_t> table,
                         std::span<const std::span<const uint8_t>> body) WHERRY_REQUIRES(posting_);
  Result<> offer(const FrameHeader& header, std::span<const uint8_t> table, Pieces pieces)
      WHERRY_REQUIRES(posting_);
  Result<> send(uint32_t credits, const std::function<size_t(std::span<uint8_t>)>& encode)
      WHERRY_REQUIRES(posting_);
  Result<> take_credits(uint32_t credits);
  Error run_until_end();
  Result<> take(std::span<const uint8_t> message);
  Result<> write(const FabricGrant& grant);
  Result<> beat();

  const std::unique_ptr<FabricConnection> connection_;
  std::span<uint8_t> attached_;              // the memory of attach(), which comes before all else
  std::atomic<uint64_t> sent_bytes_ = 0;     // bytes of messages and of offered bodies
  std::atomic<uint64_t> offered_bytes_ = 0;  // bytes of offered bodies whose write is not posted yet

  Mutex posting_;                                      // held while a whole frame, or a beat, is posted
  uint32_t next_tag_ WHERRY_GUARDED_BY(posting_) = 0;  // of the next offer

  Mutex mutex_;
  Condition changed_;
  uint32_t credits_ WHERRY_GUARDED_BY(mutex_);  // messages that may be sent now
  // By tag, until they are posted to be written.
  std::map<uint32_t, Pieces> offers_ WHERRY_GUARDED_BY(mutex_);
  std::optional<Error> ended_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry
