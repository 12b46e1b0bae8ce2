// A page history that shrinks while batches are encoded.
#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "compression/batch_decoder.h"
#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "compression/page_history.h"
#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::body_of;
using test::Bytes;
using test::random_page;

constexpr uint32_t kPageSize = 1024;

// The destination's pages, of one block.
class GuestMemory : public PageBases {
 public:
  Result<const uint8_t*> base(uint16_t, uint64_t index, uint32_t, uint8_t*) const override {
    return pages.at(index).data();
  }
  std::vector<Bytes> pages;
};

// Whether a batch is what its source meant; its pages are then in memory.
bool lands(const EncodedBatch& encoded, const PageSpace& space, const PageSecret& secret,
           GuestMemory& memory) {
  const Bytes body = body_of(encoded);
  const std::span<const uint8_t> pack = std::span(body).first(encoded.pack_size);
  Bytes plain(pack.begin(), pack.end());
  if (encoded.pack_size != encoded.plain_size) {
    plain.resize(encoded.plain_size);
    EXPECT_TRUE(BatchDecoder().unpack(pack, plain));
  }
  auto read = read_table(encoded.table, space);
  EXPECT_TRUE(read);
  EXPECT_TRUE(view(*read, plain, std::span(body).subspan(pack.size()), false));
  Bytes scratch;
  auto resolved = resolve(*read, space, secret, &memory, nullptr, scratch);
  EXPECT_TRUE(resolved);
  if (!resolved || !*resolved) return false;
  read->each([&](uint16_t, uint64_t index, const uint8_t* bytes) {
    memory.pages[index] = bytes ? Bytes(bytes, bytes + space.page_size) : Bytes(space.page_size);
  });
  return true;
}

// Hashes and copies go while a page is encoded: what comes of it is right, or is asked for again.
TEST(PageHistoryShrinking, HarmsNoPageThatIsBeingEncoded) {
  constexpr uint64_t kPages = 100;
  const PageSpace space{kPageSize, {kPages}};
  for (uint32_t round = 0; round < 50; ++round) {
    PageHistory history;
    history.set_space(space);
    history.refer_to({0});
    BatchEncoder encoder(&history);
    std::vector<Bytes> source;
    GuestMemory memory;
    for (uint32_t i = 0; i < kPages; ++i) {
      source.push_back(random_page(i, kPageSize));
      memory.pages.emplace_back(kPageSize, uint8_t{0xee});
    }
    std::jthread shrinks;
    for (uint32_t epoch = 0; epoch < 4; ++epoch) {
      PageBatch batch;
      batch.page_size = kPageSize;
      for (uint32_t i = 0; i < kPages; ++i) {
        source[i][epoch * 7] ^= 1;
        batch.add(0, i, source[i].data());
      }
      if (epoch == 2) {
        shrinks = std::jthread([&] {
          for (const uint64_t most : {150'000, 110'000, 50'000, 0}) history.shrink(most);
        });
      }
      EncodedBatch encoded;
      encoder.encode(batch, epoch, {Encoding::History::kept, 1, false}, encoded);
      if (!lands(encoded, space, history.secret(), memory)) {
        encoder.encode(batch, epoch, {Encoding::History::untouched, 1, false}, encoded);
        ASSERT_TRUE(lands(encoded, space, history.secret(), memory));
      }
      for (uint32_t i = 0; i < kPages; ++i) ASSERT_EQ(memory.pages[i], source[i]) << epoch << ":" << i;
    }
    shrinks.join();
    EXPECT_FALSE(history.hashes(0, 0));
  }
}

}  // namespace
}  // namespace wherry
