// The destination's half of a lane over a fabric (fabric_message.h has what goes over it).
//
// If a body comes in messages, land() copies it out of them. If it was offered, land() answers with a grant:
// the source can write to `where`, if all of that memory is registered guest RAM. Otherwise it writes to a
// target of the domain, from which the body is copied to `where` once it is there. So the source cannot
// change what is read of it.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "transport/fabric/fabric_connection.h"
#include "transport/fabric/fabric_message.h"
#include "transport/lane/lane.h"

namespace wherry {

// The buffers that the destination's connection of a lane needs.
FabricConnection::Shape fabric_destination_shape();

class FabricLaneReceiver : public LaneReceiver {
 public:
  explicit FabricLaneReceiver(std::unique_ptr<FabricConnection> connection)
      : connection_(std::move(connection)) {}

  void attach_guest(std::span<uint8_t> memory) override { connection_->domain().add_guest(memory); }
  Result<News> next(FrameHead& head) override;
  Result<bool> land(std::span<iovec> where) override;
  void settle() override { connection_->close_endpoint(); }
  uint64_t bytes_written() const override { return written_bytes_; }
  bool lost() const override { return connection_->ended(); }
  void shut() override { connection_->shut(); }
  std::string peer() const override { return connection_->peer(); }

 private:
  // A body that the source may write.
  struct Granted {
    uint32_t tag = 0;                   // of its offer
    FabricDomain::LentTarget target{};  // where it is written to first; null: in place
    std::vector<iovec> where{};         // where `target` is copied to; empty if in place
  };
  Result<> look(const char* what);
  Result<FabricConnection::Message> await_message(const char* what);
  Result<> take_write(uint32_t tag);
  void finish_first();
  Result<bool> read_head(FrameHead& head);
  Result<> release_message();
  Result<> give_back_credit();
  Result<> land_messages(std::span<iovec> where);
  Result<> take_body_message();
  Result<> grant(std::span<iovec> where);
  bool into_place(std::span<const iovec> where, std::vector<FabricPiece>& pieces);
  Result<> answer(std::optional<FabricGrant> grant);

  const std::unique_ptr<FabricConnection> connection_;
  FrameHeader header_;                              // of the frame whose head came last
  FabricConnection::Message message_;               // the message that `rest_` is in
  std::span<const uint8_t> rest_;                   // bytes of that body that came and have not landed
  std::optional<uint32_t> offer_;                   // the tag of its offer, if that frame's body was offered
  std::deque<FabricConnection::Message> messages_;  // messages that came and are not read yet
  std::deque<Granted> granted_;                     // in the order in which the source writes them
  size_t written_ = 0;                              // how many at the beginning of `granted_` are written
  uint32_t owed_credits_ = 0;                       // messages; the next answer gives them back to the source
  std::atomic<uint64_t> written_bytes_ = 0;         // bytes of bodies that were granted in place
};

}  // namespace wherry
