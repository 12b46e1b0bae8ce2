#include "transport/fabric/fabric_lane_sender.h"

#include <algorithm>

#include "transport/lane/slots.h"

namespace wherry {
namespace {

// In bytes. A smaller body arrives in one or two messages sooner than a grant would come back.
constexpr size_t kSmallestOffer = 64 * 1024;
// How long one wait for an answer takes. It ends earlier if the lane ends.
constexpr std::chrono::seconds kAnswerLook{1};

size_t length_of(std::span<const std::span<const uint8_t>> pieces) {
  size_t length = 0;
  for (const auto piece : pieces) length += piece.size();
  return length;
}

// Hands out pieces of memory from the first byte to the last, in parts of any length.
class PieceReader {
 public:
  explicit PieceReader(std::span<const std::span<const uint8_t>> pieces) : left_(pieces) { skip_empty(); }
  bool at_end() const { return left_.empty(); }
  // The next bytes, at most `most`. Valid until the next call.
  std::span<const std::span<const uint8_t>> take(size_t most) {
    part_.clear();
    while (most > 0 && !left_.empty()) {
      const auto piece = left_.front().subspan(used_);
      part_.push_back(piece.first(std::min(piece.size(), most)));
      most -= part_.back().size();
      used_ += part_.back().size();
      skip_empty();
    }
    return part_;
  }

 private:
  void skip_empty() {
    for (; !left_.empty() && used_ == left_.front().size(); used_ = 0) left_ = left_.subspan(1);
  }

  std::span<const std::span<const uint8_t>> left_;
  size_t used_ = 0;  // bytes of the first piece that is left
  std::vector<std::span<const uint8_t>> part_;
};

}  // namespace

FabricConnection::Shape fabric_source_shape() {
  return {.send_bytes = kFabricMessageBytes,
          .send_count = kFabricCredits,
          .receive_bytes = kFabricAnswerBytes,
          .receive_count = kFabricAnswers};
}

FabricLaneSender::FabricLaneSender(std::unique_ptr<FabricConnection> connection)
    : connection_(std::move(connection)), credits_(kFabricCredits) {}

Result<> FabricLaneSender::attach(std::span<uint8_t> memory) {
  attached_ = memory;
  connection_->domain().add_own(memory, kSlotBytes);
  return {};
}

Result<> FabricLaneSender::post(FrameHeader header, std::span<const uint8_t> table,
                                std::span<const std::span<const uint8_t>> body) {
  const size_t length = length_of(body);
  Lock posting(posting_);
  if (length > kMaxBody || table.size() > kMaxTable)
    return fail("a frame for {} is too long: {} bytes", peer(), length);
  header.table_length = static_cast<uint32_t>(table.size());
  header.body_length = static_cast<uint32_t>(length);
  if (can_offer(header, body)) return offer(header, table, merged(body));
  return post_messages(header, table, body);
}

bool FabricLaneSender::can_offer(const FrameHeader& header,
                                 std::span<const std::span<const uint8_t>> body) const {
  if (header.type != FrameType::batch || header.pack_length != 0 || header.body_length < kSmallestOffer)
    return false;
  const uint8_t* const end = attached_.data() + attached_.size();
  return std::all_of(body.begin(), body.end(), [&](std::span<const uint8_t> part) {
    return part.data() >= attached_.data() && part.data() + part.size() <= end;
  });
}

// Pages that follow each other in a slot become one piece.
FabricLaneSender::Pieces FabricLaneSender::merged(std::span<const std::span<const uint8_t>> body) const {
  Pieces pieces;
  const auto slot = [&](const uint8_t* at) {
    return static_cast<size_t>(at - attached_.data()) / kSlotBytes;
  };
  for (const auto part : body) {
    if (part.empty()) continue;
    if (!pieces.empty() && pieces.back().data() + pieces.back().size() == part.data() &&
        slot(pieces.back().data()) == slot(part.data())) {
      pieces.back() = {pieces.back().data(), pieces.back().size() + part.size()};
    } else {
      pieces.push_back(part);
    }
  }
  return pieces;
}

Result<> FabricLaneSender::post_messages(FrameHeader header, std::span<const uint8_t> table,
                                         std::span<const std::span<const uint8_t>> body) {
  Checksum sum;
  for (const auto part : body) sum.add(part);
  header.body_sum = sum.value();
  PieceReader left(body);
  const auto begin = left.take(fabric_first_body_bytes(table.size()));
  auto sent = send(1, [&](std::span<uint8_t> to) { return encode_frame_message(to, header, table, begin); });
  while (sent && !left.at_end()) {
    const auto part = left.take(kFabricBodyBytes);
    sent = send(1, [&](std::span<uint8_t> to) { return encode_body_message(to, part); });
  }
  return sent;
}

Result<> FabricLaneSender::offer(const FrameHeader& header, std::span<const uint8_t> table, Pieces pieces) {
  const uint32_t tag = next_tag_++;
  {
    Lock lock(mutex_);
    while (offers_.size() >= kFabricOffers && !ended_) changed_.wait(mutex_);
    if (ended_) return tl::make_unexpected(*ended_);
    offers_.emplace(tag, std::move(pieces));
  }
  sent_bytes_ += header.body_length;
  offered_bytes_ += header.body_length;
  // Two credits, because the write that ends an offer may use up a buffer there as well.
  return send(2, [&](std::span<uint8_t> to) { return encode_offer_message(to, tag, header, table); });
}

Result<> FabricLaneSender::send(uint32_t credits, const std::function<size_t(std::span<uint8_t>)>& encode) {
  if (auto taken = take_credits(credits); !taken) return taken;
  return connection_->send([&](std::span<uint8_t> to) {
    const size_t length = encode(to);
    sent_bytes_ += length;
    return length;
  });
}

Result<> FabricLaneSender::take_credits(uint32_t credits) {
  Lock lock(mutex_);
  while (credits_ < credits && !ended_) changed_.wait(mutex_);
  if (ended_) return tl::make_unexpected(*ended_);
  credits_ -= credits;
  return {};
}

Result<> FabricLaneSender::complete() {
  {
    Lock lock(mutex_);
    while (!offers_.empty() && !ended_) changed_.wait(mutex_);
    if (ended_) return tl::make_unexpected(*ended_);
  }
  return connection_->wait_idle();
}

Error FabricLaneSender::await_end() {
  Error why = run_until_end();
  connection_->shut();
  Lock lock(mutex_);
  ended_ = why;
  changed_.notify_all();
  return why;
}

Error FabricLaneSender::run_until_end() {
  for (;;) {
    auto event = connection_->next(kAnswerLook);
    if (!event) return event.error();
    if (!*event) {
      if (auto beaten = beat(); !beaten) return beaten.error();
      continue;
    }
    const FabricConnection::Message& message = (*event)->message;
    auto taken = message ? take(message.bytes()) : fail("it writes to the source");
    if (!taken) return {fmt::format("{}: {}", peer(), taken.error().message)};
  }
}

// If it does not get through, the connection ends.
Result<> FabricLaneSender::beat() {
  if (!posting_.try_lock()) return {};
  Lock posting(posting_, std::adopt_lock);
  if (!connection_->quiet()) return {};
  // This is the thread that takes credits back, so it must not wait for one.
  if (Lock lock(mutex_); credits_ == 0) return {};
  return send(1, encode_beat_message);
}

Result<> FabricLaneSender::take(std::span<const uint8_t> message) {
  auto answer = decode_answer(message);
  if (!answer) return pass_on(answer);
  {
    Lock lock(mutex_);
    if (answer->credits > kFabricCredits - credits_) return fail("it gives back more credits than it got");
    credits_ += answer->credits;
    changed_.notify_all();
  }
  if (!answer->grant) return {};
  return write(*answer->grant);
}

Result<> FabricLaneSender::write(const FabricGrant& grant) {
  Pieces pieces;
  {
    Lock lock(mutex_);
    auto found = offers_.find(grant.tag);
    if (found == offers_.end()) return fail("it granted what was not offered");
    pieces = std::move(found->second);  // the entry stays, empty: the offer still counts as under way
  }
  const size_t total = length_of(pieces);
  size_t granted = 0;
  for (const FabricPiece& piece : grant.pieces) granted += piece.length;
  if (granted != total) return fail("it granted {} bytes of {}", granted, total);

  PieceReader left(pieces);
  for (const FabricPiece& piece : grant.pieces) {
    const auto part = left.take(piece.length);
    const std::optional<uint32_t> tag = left.at_end() ? std::optional(grant.tag) : std::nullopt;
    auto written = connection_->write(part, {piece.address, piece.key}, tag);
    if (!written) return written;
  }
  offered_bytes_ -= total;
  Lock lock(mutex_);
  offers_.erase(grant.tag);
  changed_.notify_all();
  return {};
}

}  // namespace wherry
