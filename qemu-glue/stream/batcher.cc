#include "qemu-glue/stream/batcher.h"

#include <utility>

namespace wherry::qemu {

void Batcher::flush() {
  if (!batch_.empty()) {
    PageBatch full;
    std::swap(full, batch_);
    channel_.pages(std::move(full), memory_, std::exchange(batch_charge_, 0));
  }
  if (record_.empty() && replacement_.empty()) return;
  const uint16_t flags = std::exchange(record_flags_, 0);
  const size_t charge = std::exchange(record_charge_, 0);
  const uint32_t participants = flags & kEpochEnd ? notices_.participants() : 0;
  if (replacement_.empty()) {
    channel_.record(std::exchange(record_, {}), memory_, flags, participants, charge);
  } else {
    channel_.record(std::exchange(replacement_, {}), flags, participants, charge);
  }
}

void Batcher::record(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;
  const bool goes_on = record_.data() + record_.size() == bytes.data() && !(record_flags_ & kEpochEnd);
  if (record_.empty() || !goes_on || next_flags_) {
    flush();
    record_ = {bytes.data(), 0};
    record_flags_ = std::exchange(next_flags_, 0);
  }
  record_ = {record_.data(), record_.size() + bytes.size()};
  record_charge_ += bytes.size();
}

void Batcher::replacement(std::vector<uint8_t> bytes, size_t element) {
  flush();
  replacement_ = std::move(bytes);
  record_flags_ = std::exchange(next_flags_, 0);
  record_charge_ = element;
}

void Batcher::epoch_end() {
  record_flags_ |= kEpochEnd;
}

void Batcher::page(uint16_t block, uint64_t index, const uint8_t* content, uint32_t page_size,
                   size_t element) {
  if (!record_.empty() || !replacement_.empty() || (!batch_.empty() && is_full())) flush();
  if (batch_.empty()) {
    const std::pair<int, uint64_t> position{block, index};
    if (position < position_) ++passes_;
    position_ = position;
  }
  batch_.page_size = page_size;
  batch_.add(block, index, content);
  batch_charge_ += element;
}

bool Batcher::is_full() const {
  return !batch_.has_room() || batch_.data.size() * batch_.page_size >= channel_.batch_bytes();
}

void Batcher::blocks(const GuestBlocks& blocks, bool has_setup_end) {
  flush();
  GuestBlocks known = blocks;
  if (postcopy_) {
    known.relay_because = "postcopy is enabled";
  } else if (!return_path_) {
    known.relay_because = "the migration capability return-path is off";
  } else if (!has_setup_end) {
    known.relay_because = "the machine type is of QEMU 2.3 or older";
  }
  channel_.blocks(known);
  notices_.blocks(known);
}

void Batcher::postcopy_advised() {
  postcopy_ = true;
  notices_.postcopy();
}

void Batcher::return_path_opened() {
  return_path_ = true;
  next_flags_ |= kAsksHow;
  notices_.answers();
}

void Batcher::pages_done() {
  next_flags_ |= kPagesDone;
  pages_done_ = true;
  notices_.pages_done();
}

void Batcher::opaque(std::string_view why, bool needs_pages) {
  next_flags_ |= kOpaque | (needs_pages ? kNeedsPages : 0);
  notices_.unparsed();
  if (!pages_done_) notices_.opaque(std::string(why));
}

}  // namespace wherry::qemu
