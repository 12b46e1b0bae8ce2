// An encoder with a history, and what tests look at of what it makes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "compression/batch_decoder.h"
#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "compression/line_delta.h"
#include "compression/page_patch.h"
#include "compression/page_reference.h"
#include "tests/compression/sample_pages.h"

namespace wherry::test {

inline constexpr uint32_t kLine = kPage / kPageLines;
inline const PageSpace kSpace{kPage, {4096, 4096}};
inline constexpr Encoding kRaw{};
inline constexpr Encoding kZstd{Encoding::History::untouched, 1, false};
inline constexpr Encoding kDelta{Encoding::History::kept, std::nullopt, false};
inline constexpr Encoding kDeltaZstd{Encoding::History::kept, 1, false};

class BatchEncoderTest : public testing::Test {
 protected:
  BatchEncoderTest() {
    history_.set_space(kSpace);
    history_.refer_to({0, 1});
    batch_.page_size = kPage;
  }
  const uint8_t* keep(Bytes page) {
    memory_.push_back(std::move(page));
    return memory_.back().data();
  }
  // Encodes a batch of this one page.
  PageKind encode_one(uint64_t index, const Bytes& page, const Encoding& encoding) {
    PageBatch batch;
    batch.page_size = kPage;
    batch.add(0, index, keep(page));
    encoder_.encode(batch, 0, encoding, encoded_);
    return kinds().at(0);
  }
  // The kind of each page, in order.
  std::vector<PageKind> kinds() const {
    auto read = read_table(encoded_.table, kSpace);
    EXPECT_TRUE(read) << read.error().message;
    std::vector<PageKind> all;
    if (read) {
      for (const PageRun& run : read->runs) all.insert(all.end(), run.count, run.kind);
    }
    return all;
  }
  Bytes plain() const {
    Bytes plain(encoded_.plain_size);
    const Bytes body = body_of(encoded_);
    const auto pack = std::span(body).first(encoded_.pack_size);
    if (encoded_.pack_size == encoded_.plain_size) return {pack.begin(), pack.end()};
    BatchDecoder decoder;
    auto unpacked = decoder.unpack(pack, plain);
    EXPECT_TRUE(unpacked) << unpacked.error().message;
    return plain;
  }
  static Bytes with_line(Bytes page, uint32_t line, uint8_t value) {
    std::memset(&page[line * kLine], value, kLine);
    return page;
  }

  // So small that no page is kept as a copy.
  PageHistory history_{1'000'000};
  BatchEncoder encoder_{&history_};
  PageBatch batch_;
  EncodedBatch encoded_;
  std::deque<Bytes> memory_;
};

}  // namespace wherry::test
