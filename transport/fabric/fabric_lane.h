// Lanes over a fabric: the same frames as on a TCP lane, in messages; and bodies that the source writes where
// the destination wants them, past its processor.
//
//   source                                       destination
//   head ───────────────────── offer ──────────▶ next(): what it is
//                                                land(where): registered memory, or a buffer of the lane's
//   ◀───────────────────────── grant ─────────── where to write it
//   body ═══════════════ writes, the last one tells ═▶ next(): it is there
//
// Several bodies are on their way at once, so that a lane does not wait for grants.
//
// Bodies of at least 64 KiB that are nothing but raw pages in slots are offered; all others come in messages
// behind their head. A source sends no more messages than the destination has buffers for: each has its
// credit, which the destination gives back. docs/wire-format.md has the messages byte for byte.
//
// What goes to a dead link and does not get through ends the lane. Where nothing goes, the source sends
// beats, so that a lane is not found dead only when it is needed.
//
// Bodies that are written are not summed: the device has its own checks (RoCE's ICRC, InfiniBand's). With
// verify=on each batch has a hash of its pages in front of them, so that none is written.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>

#include "transport/fabric/fabric_connection.h"
#include "transport/lane/lane.h"

namespace wherry {

// What the two ends of a lane's connection have.
FabricConnection::Shape fabric_source_shape();
FabricConnection::Shape fabric_destination_shape();

class FabricLaneSender : public LaneSender {
 public:
  explicit FabricLaneSender(std::unique_ptr<FabricConnection> connection);

  Result<> attach(std::span<uint8_t> memory) override;
  Result<> post(FrameHeader header, std::span<const uint8_t> table,
                std::span<const std::span<const uint8_t>> body) override;
  Result<> complete() override;
  void shut() override { connection_->shut(); }
  // Also works off what the destination says, and sends beats; so it is to be called, by a thread of its own.
  Error await_end() override;
  uint64_t bytes_sent() const override { return sent_bytes_; }
  uint64_t bytes_waiting() const override { return connection_->bytes_waiting() + offered_bytes_; }
  uint64_t bytes_on_way() const override { return bytes_waiting(); }
  std::string peer() const override { return connection_->peer(); }

 private:
  using Pieces = std::vector<std::span<const uint8_t>>;
  bool can_offer(const FrameHeader& header, std::span<const std::span<const uint8_t>> body) const;
  Pieces merged(std::span<const std::span<const uint8_t>> body) const;
  Result<> take_credits(uint32_t credits);
  Result<> send(uint8_t kind, uint32_t tag, std::span<const std::span<const uint8_t>> parts);
  Result<> offer(FrameHeader header, std::span<const uint8_t> table, Pieces pieces);
  Result<> take(std::span<const uint8_t> message);
  Result<> write(uint32_t tag, std::span<const uint8_t> targets);
  Error run_until_end();
  Result<> beat();

  const std::unique_ptr<FabricConnection> connection_;
  std::mutex posting_;  // of a whole frame, or a beat
  std::span<uint8_t> attached_;
  std::atomic<uint64_t> sent_bytes_ = 0;
  std::atomic<uint64_t> offered_bytes_ = 0;
  uint32_t next_tag_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  uint32_t credits_;
  std::map<uint32_t, Pieces> offers_;
  std::optional<Error> ended_;
};

class FabricLaneReceiver : public LaneReceiver {
 public:
  explicit FabricLaneReceiver(std::unique_ptr<FabricConnection> connection)
      : connection_(std::move(connection)) {}

  void attach(std::span<uint8_t> memory) override;
  void attach_guest(std::span<uint8_t> memory) override { connection_->domain().add_guest(memory); }
  Result<News> next(FrameHead& head) override;
  Result<bool> land(std::span<iovec> where) override;
  void settle() override { connection_->close_endpoint(); }
  uint64_t bytes_written() const override { return written_bytes_; }
  bool lost() const override { return connection_->ended(); }
  void shut() override { connection_->shut(); }
  std::string peer() const override { return connection_->peer(); }

 private:
  struct Bounce {
    PageBytes bytes;
    fabric::Owned<fid_mr> region;
  };
  // A body that the source may write.
  struct Granted {
    uint32_t tag = 0;
    std::unique_ptr<Bounce> bounce;  // it comes here first; null: in place
    std::vector<iovec> where;        // from there
  };
  Result<> look(const char* what);
  Result<FabricConnection::Event> await_message(const char* what);
  Result<> take_write(uint32_t tag);
  void finish_first();
  Result<bool> read_head(const FabricConnection::Event& event, FrameHead& head);
  Result<> release();
  Result<> give_back(uint32_t credits);
  Result<> land_messages(std::span<iovec> where);
  Result<> grant(std::span<iovec> where);
  Result<std::unique_ptr<Bounce>> take_bounce();
  Result<> send_grant(std::span<const std::pair<FabricDomain::Reach, size_t>> targets);
  bool into_place(std::span<const iovec> where, std::vector<std::pair<FabricDomain::Reach, size_t>>& targets);

  const std::unique_ptr<FabricConnection> connection_;
  FrameHeader header_;                            // of the frame whose head came last
  FabricConnection::Buffer* message_ = nullptr;   // that holds `rest_`
  std::span<const uint8_t> rest_;                 // of its body, in messages
  std::optional<uint32_t> offer_;                 // it is to be written
  std::deque<FabricConnection::Event> messages_;  // that have come
  std::deque<Granted> granted_;                   // in the order in which they are written
  size_t written_ = 0;                            // so many of the first are
  std::vector<std::unique_ptr<Bounce>> bounces_;  // that are free
  uint32_t owed_credits_ = 0;
  std::atomic<uint64_t> written_bytes_ = 0;
};

}  // namespace wherry
