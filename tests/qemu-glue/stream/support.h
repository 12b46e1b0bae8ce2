// What the tests of the stream readers share: captured QEMU streams, hand-made ones, and a recorder of
// events.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "qemu-glue/stream/formats.h"
#include "qemu-glue/stream/page_writer.h"
#include "qemu-glue/stream/stream_events.h"
#include "qemu-glue/stream/stream_reader.h"
#include "transport/lane/slots.h"

namespace wherry::qemu::test {

using ByteVector = std::vector<uint8_t>;
inline constexpr uint32_t kPage = 4096;

// Bytes written by hand, big-endian.
class Bytes {
 public:
  Bytes& u8(uint8_t value) { return add({value}); }
  Bytes& u16(uint16_t value) { return u8(static_cast<uint8_t>(value >> 8)).u8(static_cast<uint8_t>(value)); }
  Bytes& u32(uint32_t value) {
    return u16(static_cast<uint16_t>(value >> 16)).u16(static_cast<uint16_t>(value));
  }
  Bytes& u64(uint64_t value) {
    return u32(static_cast<uint32_t>(value >> 32)).u32(static_cast<uint32_t>(value));
  }
  Bytes& fill(size_t length, uint8_t value) { return add(ByteVector(length, value)); }
  // u8 length, text
  Bytes& text(const std::string& text) {
    u8(static_cast<uint8_t>(text.size()));
    return add({text.begin(), text.end()});
  }
  Bytes& add(const ByteVector& bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Bytes& add(const Bytes& other) { return add(other.bytes_); }
  operator const ByteVector&() const { return bytes_; }
  const ByteVector& get() const { return bytes_; }

 private:
  ByteVector bytes_;
};

struct Page {
  std::string block;
  uint64_t offset;
  ByteVector content;  // none: a zero page
  uint32_t epoch;
  bool operator==(const Page&) const = default;
};

// Records what a reader finds, and the stream that a relay would rebuild from it.
class Recorder : public StreamEvents {
 public:
  using MakeWriter = std::unique_ptr<PageWriter> (*)(const GuestBlocks&);
  // A multifd channel needs the blocks that the main channel named.
  explicit Recorder(MakeWriter make_writer, const GuestBlocks& blocks = {})
      : known(blocks), relay_{.make_writer = make_writer} {}

  void record(std::span<const uint8_t> bytes) override {
    flush();
    relayed.insert(relayed.end(), bytes.begin(), bytes.end());
    accounted += bytes.size();
  }
  void replacement(ByteVector bytes, size_t element) override {
    flush();
    relayed.insert(relayed.end(), bytes.begin(), bytes.end());
    accounted += element;
    ++replacements;
  }
  void epoch_end() override { ++epochs; }
  void page(uint16_t block, uint64_t index, const uint8_t* content, uint32_t page_size,
            size_t element) override {
    EXPECT_FALSE(pages_end) << "a page after the last one";
    pages.push_back({known.blocks.at(block).name, index * page_size, {}, epochs});
    if (content) pages.back().content.assign(content, content + page_size);
    if (!relay_.batch.empty() && !relay_.batch.has_room()) flush();
    relay_.batch.page_size = page_size;
    relay_.batch.add(block, index, content ? pages.back().content.data() : nullptr);
    accounted += element;
  }
  void blocks(const GuestBlocks& blocks, bool has_setup_end) override {
    known = blocks;
    expects_setup_end = has_setup_end;
  }
  void dropped(size_t element) override { accounted += element; }
  void setup_done() override { setup_end = relayed.size(); }
  void pages_done() override {
    flush();
    pages_end = relayed.size();
  }
  void postcopy_advised() override { postcopy = true; }
  void return_path_opened() override { return_path = true; }
  void opaque(std::string_view why, bool needs_pages) override {
    flush();
    EXPECT_EQ(opaque_because, "") << "opaque twice";
    opaque_because = why;
    opaque_at = accounted;
    opaque_needs_pages = needs_pages;
  }
  void flush() {
    auto& [make_writer, writer, batch] = relay_;
    if (batch.empty()) return;
    if (!writer) writer = make_writer(known);
    for (const iovec& piece : writer->write(batch, {}, false)) {
      const auto* bytes = static_cast<const uint8_t*>(piece.iov_base);
      relayed.insert(relayed.end(), bytes, bytes + piece.iov_len);
    }
    batch.clear();
  }

  GuestBlocks known;
  ByteVector relayed;
  std::deque<Page> pages;
  uint32_t epochs = 0;
  size_t accounted = 0;  // bytes of the stream that the events cover
  int replacements = 0;
  size_t setup_end = 0;             // position in `relayed`; 0: there was none
  std::optional<size_t> pages_end;  // position in `relayed`; nothing: the pages are not done
  bool expects_setup_end = false, postcopy = false, return_path = false;
  std::string opaque_because;
  size_t opaque_at = 0;  // position in the stream
  bool opaque_needs_pages = false;

 private:
  // Rebuilds the stream.
  struct Relay {
    MakeWriter make_writer = nullptr;
    std::unique_ptr<PageWriter> writer = {};
    PageBatch batch = {};  // of pages that are not rebuilt yet
  };
  Relay relay_;
};

// Feeds a reader as ChannelReader does, with random lengths up to `chunk` bytes, and returns what it has not
// consumed at the end.
inline ByteVector feed(StreamReader& reader, const ByteVector& stream, size_t chunk = SIZE_MAX,
                       uint32_t seed = 0) {
  std::mt19937 random(seed);
  auto slot = std::make_unique<ByteVector>(kSlotBytes);
  size_t parsed = 0, filled = 0, sent = 0;
  while (sent < stream.size()) {
    const auto want = reader.wants({slot->data() + parsed, filled - parsed});
    EXPECT_LE(want.contiguous, kSlotBytes);
    EXPECT_GT(want.at_most, 0u);
    if (kSlotBytes - parsed < want.contiguous || filled == kSlotBytes) {
      auto next = std::make_unique<ByteVector>(kSlotBytes);
      std::copy(slot->begin() + static_cast<ptrdiff_t>(parsed),
                slot->begin() + static_cast<ptrdiff_t>(filled), next->begin());
      filled -= parsed;
      parsed = 0;
      slot = std::move(next);
    }
    const size_t most = std::min({want.at_most, kSlotBytes - filled, stream.size() - sent, chunk});
    const size_t length = chunk == SIZE_MAX ? most : 1 + random() % most;
    std::memcpy(slot->data() + filled, stream.data() + sent, length);
    sent += length;
    filled += length;
    parsed += reader.read({slot->data() + parsed, filled - parsed});
  }
  return {slot->begin() + static_cast<ptrdiff_t>(parsed), slot->begin() + static_cast<ptrdiff_t>(filled)};
}
inline constexpr size_t kChunks[] = {SIZE_MAX, 200000, 3000, 50};

// One of tests/data/streams.
struct Capture {
  explicit Capture(const std::string& name) {
    const auto directory = std::filesystem::path(WHERRY_TEST_DATA) / "streams" / name;
    std::ifstream(directory / "case.json") >> made;
    for (int i = 0; std::filesystem::exists(directory / fmt::format("{}.forward.zst", i)); ++i) {
      connections.push_back({unpack(directory / fmt::format("{}.forward.zst", i)),
                             unpack(directory / fmt::format("{}.back.zst", i))});
    }
    // In the order of connecting; the main channel is the first.
    EXPECT_FALSE(connections.empty());
  }
  struct Connection {
    ByteVector forward, back;
  };
  nlohmann::json made;
  std::vector<Connection> connections;

 private:
  static ByteVector unpack(const std::filesystem::path& path) {
    ByteVector bytes;
    FILE* pipe = ::popen(fmt::format("zstd -dcq '{}'", path.string()).c_str(), "r");
    for (int byte; (byte = std::getc(pipe)) != EOF;) bytes.push_back(static_cast<uint8_t>(byte));
    EXPECT_EQ(::pclose(pipe), 0) << path;
    return bytes;
  }
};

// The names of all captures for which `wanted` is true, given how they were made.
template <class Wanted>
std::vector<std::string> captures(Wanted&& wanted) {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(WHERRY_TEST_DATA) / "streams")) {
    if (!entry.is_directory()) continue;
    nlohmann::json made;
    std::ifstream(entry.path() / "case.json") >> made;
    if (wanted(made)) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  EXPECT_FALSE(names.empty());
  return names;
}

inline std::string case_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

inline bool uses(const nlohmann::json& made, const std::string& capability) {
  const auto& all = made["capabilities"];
  return std::find(all.begin(), all.end(), capability) != all.end();
}

// The hash of pc.ram after all pages have landed epoch by epoch; a capture notes the same hash.
inline std::string landed_ram(const Capture& capture, const std::vector<const Recorder*>& channels) {
  ByteVector ram(capture.made["ram_bytes"].get<size_t>());
  uint32_t last = 0;
  for (const Recorder* channel : channels) last = std::max(last, channel->epochs);
  for (uint32_t epoch = 0; epoch <= last; ++epoch) {
    for (const Recorder* channel : channels) {
      for (const Page& page : channel->pages) {
        if (page.epoch != epoch || page.block != "pc.ram") continue;
        auto at = ram.begin() + static_cast<ptrdiff_t>(page.offset);
        std::fill_n(at, kPage, uint8_t{0});
        std::copy(page.content.begin(), page.content.end(), at);
      }
    }
  }
  uint64_t hash = 0xcbf29ce484222325;
  for (uint8_t byte : ram) hash = (hash ^ byte) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

}  // namespace wherry::qemu::test
