// A StreamEvents for fuzzing: checks what every reader promises, and writes down what it found in the stream.
#pragma once

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "qemu-glue/stream/stream_events.h"
#include "qemu-glue/stream/stream_reader.h"
#include "tests/fuzz/promise.h"
#include "transport/lane/slots.h"

namespace wherry::qemu {

class CheckedEvents : public StreamEvents {
 public:
  // What read() is given next. Records are views into it.
  void begin(std::span<const uint8_t> bytes) {
    bytes_ = bytes;
    accounted_ = 0;
  }
  // The events account for exactly the bytes consumed.
  void end(size_t consumed) const { PROMISE(accounted_ == consumed); }
  // For readers whose blocks come from elsewhere.
  void know(const GuestBlocks& blocks) {
    space_ = blocks.space();
    known_ = true;
  }
  // What was found, the same for any way to cut the stream.
  const std::string& found() {
    flush();
    return found_;
  }

  void record(std::span<const uint8_t> bytes) override {
    PROMISE(within(bytes.data(), bytes.size()));
    PROMISE(bytes.data() == bytes_.data() + accounted_);
    accounted_ += bytes.size();
    record_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void replacement(std::vector<uint8_t> bytes, size_t element) override {
    PROMISE(!bytes.empty());
    accounted_ += element;
    record_.append(bytes.begin(), bytes.end());
  }
  void dropped(size_t element) override {
    accounted_ += element;
    note("dropped " + std::to_string(element));
  }
  void epoch_end() override { note("epoch"); }
  void page(uint16_t block, uint64_t index, const uint8_t* content, uint32_t page_size,
            size_t element) override {
    PROMISE(known_);
    PROMISE(!opaque_);
    PROMISE(page_size == space_.page_size);
    PROMISE(space_.contains({block, PageKind::raw, 1, index}));
    uint64_t sum = 0;
    if (content) {
      PROMISE(within(content, page_size));
      sum = XXH3_64bits(content, page_size);
    }
    accounted_ += element;
    PROMISE(accounted_ <= bytes_.size());
    note("page " + std::to_string(block) + ":" + std::to_string(index) +
         (content ? " " + std::to_string(sum) : ""));
  }
  void blocks(const GuestBlocks& blocks, bool has_setup_end) override {
    PROMISE(!known_);
    PROMISE(!opaque_);
    PROMISE(blocks.blocks.size() <= kMaxBlocks);
    know(blocks);
    note("blocks " + blocks.to_json().dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) +
         (has_setup_end ? " with end" : ""));
  }
  void setup_done() override {
    PROMISE(!opaque_);
    note("setup done");
  }
  void pages_done() override {
    PROMISE(!opaque_);
    note("pages done");
  }
  void postcopy_advised() override {
    PROMISE(!opaque_);
    note("postcopy");
  }
  void return_path_opened() override {
    PROMISE(!opaque_);
    note("return path");
  }
  void opaque(std::string_view why, bool needs_pages) override {
    PROMISE(!opaque_);
    PROMISE(!why.empty());
    opaque_ = true;
    note("opaque " + std::string(why) + (needs_pages ? " needs" : ""));
  }

 private:
  bool within(const uint8_t* at, size_t length) const {
    return at >= bytes_.data() && length <= bytes_.size() &&
           static_cast<size_t>(at - bytes_.data()) <= bytes_.size() - length;
  }
  void flush() {
    if (record_.empty()) return;
    found_ += "record " + std::to_string(record_.size()) + " " +
              std::to_string(XXH3_64bits(record_.data(), record_.size())) + "\n";
    record_.clear();
  }
  void note(const std::string& what) {
    flush();
    found_ += what + "\n";
  }

  std::span<const uint8_t> bytes_;
  size_t accounted_ = 0;
  PageSpace space_;
  bool known_ = false;
  bool opaque_ = false;
  std::string record_;
  std::string found_;
};

// Feeds a stream as ChannelReader does: what a read leaves comes again, moved, followed by up to `chunk()`
// new bytes. Returns what was found, and what the reader never consumed.
inline std::string feed(StreamReader& reader, CheckedEvents& events, std::span<const uint8_t> stream,
                        const std::function<size_t()>& chunk) {
  std::vector<uint8_t> remained;
  while (!stream.empty()) {
    const StreamReader::Want want = reader.wants(remained);
    PROMISE(want.contiguous <= kSlotBytes);
    PROMISE(want.at_most > 0);
    const size_t length = std::min({std::max<size_t>(chunk(), 1), want.at_most, stream.size()});
    const bool enough = remained.size() + length >= want.contiguous;
    // Memory of its own, so that a sanitizer sees each step outside.
    const size_t size = remained.size() + length;
    std::unique_ptr<uint8_t[]> memory(new uint8_t[size]);
    std::copy(remained.begin(), remained.end(), memory.get());
    std::copy_n(stream.begin(), length, memory.get() + remained.size());
    stream = stream.subspan(length);
    const std::span<uint8_t> bytes(memory.get(), size);
    events.begin(bytes);
    const size_t consumed = reader.read(bytes);
    PROMISE(consumed <= size);
    events.end(consumed);
    remained.assign(bytes.begin() + static_cast<ptrdiff_t>(consumed), bytes.end());
    // It gets on, or knows more about what it needs.
    PROMISE(consumed > 0 || !enough || reader.wants(remained).contiguous > size);
  }
  return events.found() + "left " + std::to_string(remained.size());
}

// Chunk sizes that the input decides: one byte after the other at first, or a mixture of small and large. Not
// byte by byte for long: each step copies what remains.
inline std::function<size_t()> chunks(uint8_t how) {
  if (how == 0) return [fed = size_t{0}]() mutable { return ++fed < 2000 ? size_t{1} : size_t{6000}; };
  return [state = uint32_t{how}]() mutable {
    state = state * 1664525 + 1013904223;
    const size_t most = state >> 31 ? 16 : 6000;
    return size_t{1} + (state >> 8) % most;
  };
}

}  // namespace wherry::qemu
