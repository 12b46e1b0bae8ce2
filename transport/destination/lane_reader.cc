#include "transport/destination/lane_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "compression/batch_table.h"

namespace wherry {
namespace {

// A body up to this length takes no slot. kMostLongBodies longer ones are more than 128 MiB, which is all
// that a source can have in flight.
constexpr size_t kSmallBody = 128 * 1024;

}  // namespace

Error LaneReader::run() {
  for (;;) {
    auto news = lane_.next(head_);
    if (!news) return news.error();
    Result<> done;
    switch (*news) {
      case LaneReceiver::News::end:
        done = fail("closed the lane (was the peer killed?)");
        break;
      case LaneReceiver::News::head:
        done = take_head();
        break;
      case LaneReceiver::News::body:
        done = finish(std::move(on_their_way_.front()));
        on_their_way_.pop_front();
        break;
    }
    if (!done) return {fmt::format("{}: {}", lane_.peer(), done.error().message)};
  }
}

void LaneReader::settle() {
  lane_.settle();
  on_their_way_.clear();
}

Result<> LaneReader::take_head() {
  auto berth = landing_.claim(head_.header);
  if (!berth) return pass_on(berth);
  // It stays in the list while its body is received: bytes can arrive in its memory until settle().
  Incoming& frame = on_their_way_.emplace_back(Incoming{.berth = std::move(*berth)});
  auto landed = begin(frame);
  if (!landed) return pass_on(landed);
  if (!*landed) return {};
  auto done = finish(std::move(frame));
  on_their_way_.pop_back();
  return done;
}

// Decides where the body of a frame goes, and receives it there. Returns whether all of it is there.
Result<bool> LaneReader::begin(Incoming& frame) {
  const FrameHeader& header = head_.header;
  if (!frame.berth) {
    frame.thrown_away.resize(header.body_length);
    iovec all{frame.thrown_away.data(), frame.thrown_away.size()};
    return lane_.land({&all, 1});
  }
  if (header.type == FrameType::batch) return begin_batch(frame);
  if (header.type == FrameType::blocks) return fail("the RAM blocks came on a lane");
  if (header.pack_length != 0 && header.pack_length != header.body_length) {
    return fail("a frame without pages has more than its pack");
  }
  frame.plain = frame.berth.make_room(header.body_length - header.pack_length + header.plain_length, {});
  return land_plain(frame);
}

Result<bool> LaneReader::begin_batch(Incoming& frame) {
  const PageSpace* space = landing_.guest().wait_blocks();
  if (!space) return fail("the session ended");
  const FrameHeader& header = head_.header;
  auto pages = read_table(head_.table, *space);
  if (!pages) return pass_on(pages);
  if (pages->page_count() != header.pages) return fail("a batch miscounts its pages");
  frame.berth.name_pages(std::move(*pages));
  if (std::vector<iovec> where; frame.berth.targets(where)) {
    uint64_t bytes = 0;
    for (const iovec& piece : where) bytes += piece.iov_len;
    if (bytes != header.body_length) return fail("a batch is not as long as its table says");
    return lane_.land(where);
  }
  const size_t length = uint64_t{header.body_length} - header.pack_length + header.plain_length;
  if (length > kSlotBytes || header.plain_length > kMostPlain) return fail("a batch of {} bytes", length);
  // Short batches take no slot: more of them fit into the window than there are slots.
  Slot slot;
  if (length > kSmallBody) {
    slot = slots_.try_take();
    if (!slot) return fail("the peer sends more than agreed");
  }
  frame.plain = frame.berth.make_room(length, std::move(slot));
  return land_plain(frame);
}

// Receives the body of a frame so that its pack can be unpacked in front of the bytes that follow the pack.
Result<bool> LaneReader::land_plain(Incoming& frame) {
  const FrameHeader& header = head_.header;
  if (header.pack_length == header.plain_length) {
    iovec all{frame.plain.data(), frame.plain.size()};
    return lane_.land({&all, 1});
  }
  pack_.resize(header.pack_length);
  const std::span<uint8_t> rest = frame.plain.subspan(header.plain_length);
  std::array<iovec, 2> pieces{iovec{pack_.data(), pack_.size()}, iovec{rest.data(), rest.size()}};
  return lane_.land(pieces);
}

// The body is there.
Result<> LaneReader::finish(Incoming frame) {
  Berth& berth = frame.berth;
  if (!berth) return {};
  const FrameHeader& header = berth.header();
  if (!berth.in_place()) {
    const std::span<uint8_t> unpacked = frame.plain.first(header.plain_length);
    if (header.pack_length != header.plain_length) {
      if (auto done = decoder_.unpack(pack_, unpacked); !done) return done;
    }
    if (header.type == FrameType::batch) {
      const std::span<uint8_t> raw = frame.plain.subspan(header.plain_length);
      if (auto seen = view(berth.pages(), unpacked, raw, header.flags & kSums); !seen) return seen;
    }
  }
  auto placed = berth.place(scratch_);
  if (!placed) return pass_on(placed);
  if (!*placed) return {};  // it will come once more
  return std::move(berth).arrive();
}

}  // namespace wherry
