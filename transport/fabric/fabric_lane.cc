#include "transport/fabric/fabric_lane.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "transport/lane/slots.h"

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;
static_assert(std::endian::native == std::endian::little, "numbers go on the wire as they are");

// What a message is.
constexpr uint8_t kFrame = 1;    // a frame's head, with the beginning of its body
constexpr uint8_t kBody = 2;     // more of that body
constexpr uint8_t kOffer = 3;    // a frame's head; its body waits for a grant
constexpr uint8_t kGrant = 4;    // where to write an offered body
constexpr uint8_t kCredits = 5;  // nothing but credits
constexpr uint8_t kBeat = 6;     // nothing: it shows whether the link is alive

struct Prefix {
  uint8_t kind = 0;
  std::array<uint8_t, 3> zero{};
  uint32_t length = 0;  // of what follows
  uint32_t tag = 0;     // of an offer and its grant
  uint32_t credits = 0;
};
static_assert(sizeof(Prefix) == 16);

struct GrantedPiece {
  uint64_t address = 0;
  uint64_t key = 0;
  uint32_t length = 0;
  uint32_t zero = 0;
};
static_assert(sizeof(GrantedPiece) == 24);

constexpr size_t kMessageBytes = 64 * 1024;
constexpr size_t kMessages = 32;
constexpr size_t kAnswerBytes = 8 * 1024;
// Each answer gives back a quarter of the credits, or is one of the grants under way.
constexpr size_t kAnswers = 16;
constexpr uint32_t kGiveBack = kMessages / 4;
constexpr size_t kMostPieces = (kAnswerBytes - sizeof(Prefix)) / sizeof(GrantedPiece);
// A smaller body is there sooner in one message or two than a grant is back.
constexpr size_t kSmallestOffer = 64 * 1024;
// So many heads go ahead of the body that is being written, and so many bodies may be written.
constexpr size_t kMostOffers = 4;
// How long one look at the queues may take; ends are found within.
constexpr std::chrono::seconds kLook{1};

static_assert(sizeof(Prefix) + kFrameHeaderBytes + kMaxTable <= kMessageBytes);

template <class T>
T read(std::span<const uint8_t> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

struct Opened {
  Prefix prefix;
  std::span<const uint8_t> bytes;
};

Result<Opened> open_message(std::span<const uint8_t> message) {
  if (message.size() < sizeof(Prefix)) return fail("a message of {} bytes", message.size());
  const auto prefix = read<Prefix>(message);
  message = message.subspan(sizeof prefix);
  if (prefix.length > message.size() || prefix.zero != std::array<uint8_t, 3>{})
    return fail("a message that is unsound");
  return Opened{prefix, message.first(prefix.length)};
}

// Fills a buffer with a message; the length of all.
size_t fill(FabricConnection::Buffer& buffer, Prefix prefix,
            std::span<const std::span<const uint8_t>> parts) {
  uint8_t* at = buffer.bytes.data() + sizeof prefix;
  for (const auto part : parts) at = std::copy(part.begin(), part.end(), at);
  const auto length = static_cast<size_t>(at - buffer.bytes.data());
  prefix.length = static_cast<uint32_t>(length - sizeof prefix);
  std::memcpy(buffer.bytes.data(), &prefix, sizeof prefix);
  return length;
}

}  // namespace

FabricConnection::Shape fabric_source_shape() {
  return {.send_bytes = kMessageBytes,
          .send_count = kMessages,
          .receive_bytes = kAnswerBytes,
          .receive_count = kAnswers};
}

FabricConnection::Shape fabric_destination_shape() {
  return {.send_bytes = kAnswerBytes,
          .send_count = kAnswers,
          .receive_bytes = kMessageBytes,
          .receive_count = kMessages};
}

FabricLaneSender::FabricLaneSender(std::unique_ptr<FabricConnection> connection)
    : connection_(std::move(connection)), credits_(kMessages) {}

Result<> FabricLaneSender::attach(std::span<uint8_t> memory) {
  attached_ = memory;
  connection_->domain().add_own(memory, kSlotBytes, FabricDomain::Use::source);
  return {};
}

Result<> FabricLaneSender::post(FrameHeader header, std::span<const uint8_t> table,
                                std::span<const std::span<const uint8_t>> body) {
  size_t length = 0;
  for (const auto part : body) length += part.size();
  std::lock_guard posting(posting_);
  if (length > kMaxBody || table.size() > kMaxTable)
    return fail("a frame for {} is too long: {} bytes", peer(), length);
  header.table_length = static_cast<uint32_t>(table.size());
  header.body_length = static_cast<uint32_t>(length);
  if (can_offer(header, body)) return offer(header, table, merged(body));
  Checksum sum;
  for (const auto part : body) sum.add(part);
  header.body_sum = sum.value();
  const HeaderBytes head = encode_header(header, table);
  Pieces parts{head, table};
  size_t room = kMessageBytes - sizeof(Prefix) - head.size() - table.size();
  uint8_t kind = kFrame;
  for (auto part : body) {
    while (!part.empty()) {
      if (room == 0) {
        if (auto sent = send(kind, 0, parts); !sent) return sent;
        parts.clear();
        kind = kBody;
        room = kMessageBytes - sizeof(Prefix);
      }
      parts.push_back(part.first(std::min(part.size(), room)));
      room -= parts.back().size();
      part = part.subspan(parts.back().size());
    }
  }
  return send(kind, 0, parts);
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

// Pages that lie one behind the other in a slot are one piece.
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

Result<> FabricLaneSender::take_credits(uint32_t credits) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return credits_ >= credits || ended_; });
  if (ended_) return tl::make_unexpected(*ended_);
  credits_ -= credits;
  return {};
}

Result<> FabricLaneSender::send(uint8_t kind, uint32_t tag, std::span<const std::span<const uint8_t>> parts) {
  // The write that ends an offer may use up a buffer there as well.
  if (auto taken = take_credits(kind == kOffer ? 2 : 1); !taken) return taken;
  auto buffer = connection_->take();
  if (!buffer) return pass_on(buffer);
  Prefix prefix;
  prefix.kind = kind;
  prefix.tag = tag;
  const size_t length = fill(**buffer, prefix, parts);
  sent_bytes_ += length;
  return connection_->send(*buffer, length);
}

Result<> FabricLaneSender::offer(FrameHeader header, std::span<const uint8_t> table, Pieces pieces) {
  const HeaderBytes head = encode_header(header, table);
  const uint32_t tag = next_tag_++;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return offers_.size() < kMostOffers || ended_; });
    if (ended_) return tl::make_unexpected(*ended_);
    offers_.emplace(tag, std::move(pieces));
  }
  sent_bytes_ += header.body_length;
  offered_bytes_ += header.body_length;
  const std::array<std::span<const uint8_t>, 2> parts{head, table};
  return send(kOffer, tag, parts);
}

Result<> FabricLaneSender::complete() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return offers_.empty() || ended_; });
    if (ended_) return tl::make_unexpected(*ended_);
  }
  return connection_->wait_idle();
}

Error FabricLaneSender::await_end() {
  Error why = run_until_end();
  connection_->shut();
  std::lock_guard lock(mutex_);
  ended_ = why;
  changed_.notify_all();
  return why;
}

Error FabricLaneSender::run_until_end() {
  for (;;) {
    auto event = connection_->next(kLook);
    if (!event) return event.error();
    if (!*event) {
      if (auto beaten = beat(); !beaten) return beaten.error();
      continue;
    }
    FabricConnection::Buffer* const message = (*event)->message;
    auto taken = message ? take(message->bytes.first((*event)->length)) : fail("it writes to the source");
    if (!taken) return {fmt::format("{}: {}", peer(), taken.error().message)};
    connection_->release(message);
  }
}

// The connection ends if it does not get through.
Result<> FabricLaneSender::beat() {
  const std::unique_lock posting(posting_, std::try_to_lock);
  if (!posting || !connection_->quiet()) return {};
  // This is the thread that takes credits back, so it must not wait for one.
  if (std::lock_guard lock(mutex_); credits_ == 0) return {};
  return send(kBeat, 0, {});
}

Result<> FabricLaneSender::take(std::span<const uint8_t> message) {
  auto opened = open_message(message);
  if (!opened) return pass_on(opened);
  {
    std::lock_guard lock(mutex_);
    if (opened->prefix.credits > kMessages - credits_) return fail("it gives back more than it got");
    credits_ += opened->prefix.credits;
    changed_.notify_all();
  }
  if (opened->prefix.kind == kCredits) return {};
  if (opened->prefix.kind != kGrant) return fail("it sent a message of kind {}", opened->prefix.kind);
  return write(opened->prefix.tag, opened->bytes);
}

Result<> FabricLaneSender::write(uint32_t tag, std::span<const uint8_t> targets) {
  Pieces pieces;
  {
    std::lock_guard lock(mutex_);
    auto found = offers_.find(tag);
    if (found == offers_.end()) return fail("it granted what was not offered");
    pieces = std::move(found->second);  // an entry that is empty now still counts as under way
  }
  size_t total = 0;
  for (const auto part : pieces) total += part.size();
  size_t granted = 0;
  for (size_t at = 0; at + sizeof(GrantedPiece) <= targets.size(); at += sizeof(GrantedPiece))
    granted += read<GrantedPiece>(targets.subspan(at)).length;
  if (granted != total || targets.size() % sizeof(GrantedPiece) != 0)
    return fail("it granted {} bytes of {}", granted, total);

  Pieces part;
  auto next = pieces.begin();
  for (; !targets.empty(); targets = targets.subspan(sizeof(GrantedPiece))) {
    const auto target = read<GrantedPiece>(targets);
    part.clear();
    for (size_t left = target.length; left > 0;) {
      part.push_back(next->first(std::min(left, next->size())));
      left -= part.back().size();
      *next = next->subspan(part.back().size());
      if (next->empty()) ++next;
    }
    const bool last = targets.size() == sizeof(GrantedPiece);
    auto written =
        connection_->write(part, {target.address, target.key}, last ? std::optional(tag) : std::nullopt);
    if (!written) return written;
  }
  offered_bytes_ -= total;
  std::lock_guard lock(mutex_);
  offers_.erase(tag);
  changed_.notify_all();
  return {};
}

void FabricLaneReceiver::attach(std::span<uint8_t> memory) {
  connection_->domain().add_own(memory, kSlotBytes, FabricDomain::Use::target);
}

Result<LaneReceiver::News> FabricLaneReceiver::next(FrameHead& head) {
  for (;;) {
    if (written_ > 0) {
      finish_first();
      return News::body;
    }
    if (!messages_.empty() && granted_.size() < kMostOffers) {
      auto event = await_message("waiting for a frame");
      auto read = read_head(*event, head);
      if (!read) return pass_on(read);
      if (*read) return News::head;
      continue;
    }
    const char* const what = granted_.empty() ? "waiting for a frame" : "waiting for pages to be written";
    if (auto looked = look(what); !looked) return pass_on(looked);
  }
}

// Takes what comes next.
Result<> FabricLaneReceiver::look(const char* what) {
  auto event = connection_->next(kLook);
  if (!event) return fail("{} ({})", event.error().message, what);
  if (!*event) return {};
  if (!(*event)->message) return take_write((*event)->tag);
  messages_.push_back(**event);
  return {};
}

Result<FabricConnection::Event> FabricLaneReceiver::await_message(const char* what) {
  while (messages_.empty()) {
    if (auto looked = look(what); !looked) return pass_on(looked);
  }
  const FabricConnection::Event event = messages_.front();
  messages_.pop_front();
  return event;
}

Result<> FabricLaneReceiver::take_write(uint32_t tag) {
  if (written_ == granted_.size()) return fail("{} wrote without a grant", peer());
  if (tag != granted_[written_].tag) return fail("{} wrote what was not granted", peer());
  ++written_;
  connection_->owe(written_ < granted_.size());
  return give_back(1);
}

// The body that was granted first is there.
void FabricLaneReceiver::finish_first() {
  Granted& first = granted_.front();
  if (first.bounce) {
    const uint8_t* from = first.bounce->bytes.data();
    for (const iovec& piece : first.where) {
      std::copy_n(from, piece.iov_len, static_cast<uint8_t*>(piece.iov_base));
      from += piece.iov_len;
    }
    bounces_.push_back(std::move(first.bounce));
  }
  granted_.pop_front();
  --written_;
}

// False: it is a beat.
Result<bool> FabricLaneReceiver::read_head(const FabricConnection::Event& event, FrameHead& head) {
  auto opened = open_message(event.message->bytes.first(event.length));
  if (!opened) return fail("{}: {}", peer(), opened.error().message);
  message_ = event.message;
  const uint8_t kind = opened->prefix.kind;
  std::span<const uint8_t> bytes = opened->bytes;
  if (kind == kBeat && bytes.empty()) {
    if (auto released = release(); !released) return pass_on(released);
    return false;
  }
  if ((kind != kFrame && kind != kOffer) || bytes.size() < kFrameHeaderBytes)
    return fail("{} sent a message of kind {} and {} bytes instead of a frame", peer(), kind, bytes.size());
  HeaderBytes start;
  std::copy_n(bytes.begin(), start.size(), start.begin());
  auto header = decode_header(start);
  if (!header) return fail("{}: {}", peer(), header.error().message);
  bytes = bytes.subspan(start.size());
  if (bytes.size() < header->table_length) return fail("{} sent half a table", peer());
  head.table.assign(bytes.begin(), bytes.begin() + header->table_length);
  if (auto sound = check_head(start, head.table); !sound)
    return fail("{}: {}", peer(), sound.error().message);
  rest_ = bytes.subspan(header->table_length);
  head.header = header_ = *header;
  offer_.reset();
  if (kind == kOffer) {
    if (!rest_.empty() || header_.body_length == 0 || header_.type != FrameType::batch ||
        header_.pack_length != 0)
      return fail("{} offers a frame that is unsound", peer());
    offer_ = opened->prefix.tag;
  }
  if (offer_ || header_.body_length == 0) {
    if (auto released = release(); !released) return pass_on(released);
  }
  return true;
}

Result<> FabricLaneReceiver::release() {
  connection_->release(message_);
  message_ = nullptr;
  return give_back(1);
}

Result<> FabricLaneReceiver::give_back(uint32_t credits) {
  owed_credits_ += credits;
  if (owed_credits_ < kGiveBack) return {};
  auto buffer = connection_->take();
  if (!buffer) return pass_on(buffer);
  Prefix prefix;
  prefix.kind = kCredits;
  prefix.credits = std::exchange(owed_credits_, 0);
  return connection_->send(*buffer, fill(**buffer, prefix, {}));
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
        if (auto released = release(); !released) return released;
        auto event = await_message("in the middle of a frame");
        if (!event) return pass_on(event);
        auto opened = open_message(event->message->bytes.first(event->length));
        if (!opened) return fail("{}: {}", peer(), opened.error().message);
        message_ = event->message;
        if (opened->prefix.kind != kBody || opened->bytes.empty())
          return fail("{} sent a message of kind {} instead of a body", peer(), opened->prefix.kind);
        rest_ = opened->bytes;
      }
      const auto part = rest_.first(std::min(rest_.size(), to.size()));
      std::copy(part.begin(), part.end(), to.begin());
      sum.add(part);
      rest_ = rest_.subspan(part.size());
      to = to.subspan(part.size());
    }
  }
  if (!rest_.empty()) return fail("{} sent more than a body", peer());
  if (sum.value() != header_.body_sum) {
    return fail("{}: a frame was damaged on its way (channel {}, frame {}, {} bytes)", peer(),
                header_.channel, header_.sequence, header_.body_length);
  }
  return release();
}

// As targets of writes; false: not all of it can be, without waiting.
bool FabricLaneReceiver::into_place(std::span<const iovec> where,
                                    std::vector<std::pair<FabricDomain::Reach, size_t>>& targets) {
  for (size_t i = 0; i < where.size();) {
    const auto* const start = static_cast<const uint8_t*>(where[i].iov_base);
    size_t length = where[i].iov_len;
    for (++i; i < where.size() && where[i].iov_base == start + length; ++i) length += where[i].iov_len;
    std::span<const uint8_t> left(start, length);
    while (!left.empty()) {
      std::span<const uint8_t> piece = left;
      auto reach = connection_->domain().find(piece);
      if (!reach || targets.size() == kMostPieces) return false;
      targets.emplace_back(*reach, piece.size());
      left = left.subspan(piece.size());
    }
  }
  return true;
}

Result<> FabricLaneReceiver::grant(std::span<iovec> where) {
  Granted granted;
  granted.tag = *offer_;
  std::vector<std::pair<FabricDomain::Reach, size_t>> targets;
  if (into_place(where, targets)) {
    written_bytes_ += header_.body_length;
  } else {
    auto bounce = take_bounce();
    if (!bounce) return pass_on(bounce);
    granted.bounce = std::move(*bounce);
    granted.where.assign(where.begin(), where.end());
    const std::span<const uint8_t> bytes = granted.bounce->bytes;
    targets.assign(1, {connection_->domain().reach(*granted.bounce->region, bytes, bytes.data()),
                       size_t{header_.body_length}});
  }
  granted_.push_back(std::move(granted));
  return send_grant(targets);
}

Result<std::unique_ptr<FabricLaneReceiver::Bounce>> FabricLaneReceiver::take_bounce() {
  if (bounces_.empty()) {
    auto bounce = std::make_unique<Bounce>();
    bounce->bytes.resize(kMaxBody);
    auto region = connection_->domain().register_memory(bounce->bytes, FabricDomain::Use::target);
    if (!region) return pass_on(region);
    bounce->region = std::move(*region);
    return bounce;
  }
  auto bounce = std::move(bounces_.back());
  bounces_.pop_back();
  return bounce;
}

Result<> FabricLaneReceiver::send_grant(std::span<const std::pair<FabricDomain::Reach, size_t>> targets) {
  auto buffer = connection_->take();
  if (!buffer) return pass_on(buffer);
  std::vector<GrantedPiece> pieces;
  pieces.reserve(targets.size());
  for (const auto& [reach, length] : targets)
    pieces.push_back({reach.address, reach.key, static_cast<uint32_t>(length), 0});
  Prefix prefix;
  prefix.kind = kGrant;
  prefix.tag = *offer_;
  prefix.credits = std::exchange(owed_credits_, 0);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(pieces.data()),
                                       pieces.size() * sizeof(GrantedPiece));
  connection_->owe(true);
  return connection_->send(*buffer, fill(**buffer, prefix, {&bytes, 1}));
}

}  // namespace wherry
