#include "transport/fabric/fabric_lane_receiver.h"

#include <algorithm>
#include <utility>

namespace wherry {
namespace {

// Credits are given back together once there are this many, unless a grant takes them along.
constexpr uint32_t kGiveBack = kFabricCredits / 4;
// How long one wait for a message takes. It ends earlier if the lane ends.
constexpr std::chrono::seconds kMessageLook{1};

}  // namespace

FabricConnection::Shape fabric_destination_shape() {
  return {.send_bytes = kFabricAnswerBytes,
          .send_count = kFabricAnswers,
          .receive_bytes = kFabricMessageBytes,
          .receive_count = kFabricCredits};
}

Result<LaneReceiver::News> FabricLaneReceiver::next(FrameHead& head) {
  for (;;) {
    if (written_ > 0) {
      finish_first();
      return News::body;
    }
    if (!messages_.empty() && granted_.size() < kFabricOffers) {
      auto read = read_head(head);
      if (!read) return pass_on(read);
      if (*read) return News::head;
      continue;
    }
    const char* const what = granted_.empty() ? "waiting for a frame" : "waiting for pages to be written";
    if (auto looked = look(what); !looked) return pass_on(looked);
  }
}

// Takes what comes next. `what` is what the caller is doing, for an error.
Result<> FabricLaneReceiver::look(const char* what) {
  auto event = connection_->next(kMessageLook);
  if (!event) return fail("{} ({})", event.error().message, what);
  if (!*event) return {};
  if (!(*event)->message) return take_write((*event)->tag);
  messages_.push_back(std::move((*event)->message));
  return {};
}

Result<FabricConnection::Message> FabricLaneReceiver::await_message(const char* what) {
  while (messages_.empty()) {
    if (auto looked = look(what); !looked) return pass_on(looked);
  }
  FabricConnection::Message message = std::move(messages_.front());
  messages_.pop_front();
  return message;
}

Result<> FabricLaneReceiver::take_write(uint32_t tag) {
  if (written_ == granted_.size()) return fail("{} wrote without a grant", peer());
  if (tag != granted_[written_].tag) return fail("{} wrote what was not granted", peer());
  ++written_;
  connection_->owe(written_ < granted_.size());
  return give_back_credit();
}

// The body that was granted first is there.
void FabricLaneReceiver::finish_first() {
  const Granted& first = granted_.front();
  if (first.target) {
    const uint8_t* from = first.target->bytes.data();
    for (const iovec& piece : first.where) {
      std::copy_n(from, piece.iov_len, static_cast<uint8_t*>(piece.iov_base));
      from += piece.iov_len;
    }
  }
  granted_.pop_front();
  --written_;
}

// Reads the first of the messages that have come. False: it is a beat.
Result<bool> FabricLaneReceiver::read_head(FrameHead& head) {
  message_ = std::move(messages_.front());
  messages_.pop_front();
  auto start = decode_start(message_.bytes(), peer());
  if (!start) return pass_on(start);
  const bool beat = start->kind == FabricStart::Kind::beat;
  if (!beat) {
    head.table.assign(start->table.begin(), start->table.end());
    head.header = header_ = start->header;
    rest_ = start->body;
    offer_.reset();
    if (start->kind == FabricStart::Kind::offer) offer_ = start->tag;
  }
  if (beat || offer_ || header_.body_length == 0) {
    if (auto released = release_message(); !released) return pass_on(released);
  }
  return !beat;
}

Result<> FabricLaneReceiver::release_message() {
  message_ = {};
  return give_back_credit();
}

Result<> FabricLaneReceiver::give_back_credit() {
  if (++owed_credits_ < kGiveBack) return {};
  return answer(std::nullopt);
}

// Gives back the credits that are owed, with a grant or without.
Result<> FabricLaneReceiver::answer(std::optional<FabricGrant> grant) {
  const FabricAnswer message{std::exchange(owed_credits_, 0), std::move(grant)};
  return connection_->send([&](std::span<uint8_t> to) { return encode_answer(to, message); });
}

Result<bool> FabricLaneReceiver::land(std::span<iovec> where) {
  if (header_.body_length == 0) return true;
  if (auto landed = offer_ ? grant(where) : land_messages(where); !landed) return pass_on(landed);
  return !offer_;
}

Result<> FabricLaneReceiver::land_messages(std::span<iovec> where) {
  Checksum sum;
  for (const iovec& piece : where) {
    std::span<uint8_t> to(static_cast<uint8_t*>(piece.iov_base), piece.iov_len);
    while (!to.empty()) {
      if (rest_.empty()) {
        if (auto taken = take_body_message(); !taken) return taken;
      }
      const auto part = rest_.first(std::min(rest_.size(), to.size()));
      std::copy(part.begin(), part.end(), to.begin());
      sum.add(part);
      rest_ = rest_.subspan(part.size());
      to = to.subspan(part.size());
    }
  }
  if (!rest_.empty()) return fail("{} sent more than the body of its frame", peer());
  if (sum.value() != header_.body_sum) {
    return fail("{}: a frame was damaged on its way (channel {}, frame {}, {} bytes)", peer(),
                header_.channel, header_.sequence, header_.body_length);
  }
  return release_message();
}

Result<> FabricLaneReceiver::take_body_message() {
  if (auto released = release_message(); !released) return released;
  auto message = await_message("in the middle of a frame");
  if (!message) return pass_on(message);
  message_ = std::move(*message);
  auto bytes = decode_body_message(message_.bytes(), peer());
  if (!bytes) return pass_on(bytes);
  rest_ = *bytes;
  return {};
}

Result<> FabricLaneReceiver::grant(std::span<iovec> where) {
  Granted granted{.tag = *offer_};
  FabricGrant answered{*offer_, {}};
  if (into_place(where, answered.pieces)) {
    written_bytes_ += header_.body_length;
  } else {
    auto target = connection_->domain().lend_target();
    if (!target) return pass_on(target);
    granted.target = std::move(*target);
    granted.where.assign(where.begin(), where.end());
    const FabricDomain::Reach& reach = granted.target->reach;
    answered.pieces.assign(1, {reach.address, reach.key, header_.body_length});
  }
  granted_.push_back(std::move(granted));
  connection_->owe(true);
  return answer(std::move(answered));
}

// Finds the pieces that the source can write if the whole body goes in place. False: not all of that memory
// is registered now, or it has too many pieces.
bool FabricLaneReceiver::into_place(std::span<const iovec> where, std::vector<FabricPiece>& pieces) {
  for (size_t i = 0; i < where.size();) {
    const auto* const start = static_cast<const uint8_t*>(where[i].iov_base);
    size_t length = where[i].iov_len;
    for (++i; i < where.size() && where[i].iov_base == start + length; ++i) length += where[i].iov_len;
    std::span<const uint8_t> left(start, length);
    while (!left.empty()) {
      std::span<const uint8_t> part = left;
      auto reach = connection_->domain().find(part);
      if (!reach || pieces.size() == kMostFabricPieces) return false;
      pieces.push_back({reach->address, reach->key, static_cast<uint32_t>(part.size())});
      left = left.subspan(part.size());
    }
  }
  return true;
}

}  // namespace wherry
