#include "compression/batch_decoder.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "compression/batch_table.h"
#include "compression/line_delta.h"
#include "compression/page_digest.h"
#include "compression/page_patch.h"
#include "compression/page_reference.h"
#include "tests/base/expect_error.h"
#include "tests/compression/made_pages.h"
#include "tests/compression/sample_pages.h"
#include "tests/compression/sample_secret.h"

namespace wherry {
namespace {

using test::body_of;
using test::Bytes;
using test::kSampleSecret;
using test::random_page;
using test::text_page;

constexpr uint32_t kSmallPage = 1024;
const PageSpace kSmallSpace{kSmallPage, {100, 100}};

// Pages of block 0; the destination cannot read other blocks.
class Memory : public PageBases {
 public:
  Result<const uint8_t*> base(uint16_t block, uint64_t index, uint32_t page_size,
                              uint8_t* scratch) const override {
    if (block != 0) return fail("block {} cannot be read", block);
    const Bytes& page = pages.at(index);
    if (!copies) return page.data();
    std::memcpy(scratch, page.data(), page_size);
    return scratch;
  }
  std::map<uint64_t, Bytes> pages;
  bool copies = false;  // base() copies the page, as it does if guest memory is not mapped
};

Bytes packed(const Bytes& plain) {
  Bytes pack(ZSTD_compressBound(plain.size()));
  pack.resize(ZSTD_compress(pack.data(), pack.size(), plain.data(), plain.size(), 1));
  return pack;
}

PageBatch batch_of(std::initializer_list<PageRun> runs) {
  PageBatch batch;
  batch.page_size = kSmallPage;
  for (const PageRun& run : runs) batch.add_run(run);
  return batch;
}

Bytes lines_of(const Bytes& page, uint64_t bitmap) {
  Bytes encoded(lines_size(bitmap, kSmallPage));
  put_lines(page.data(), kSmallPage, bitmap, kSampleSecret, encoded.data());
  return encoded;
}

Bytes reference_to(uint16_t block, uint64_t index, const Bytes& page) {
  Bytes encoded(kReferenceBytes);
  put_reference({block, index, hash_content(page.data(), kSmallPage, kSampleSecret)}, encoded.data());
  return encoded;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes number(uint64_t value, size_t size) {
  Bytes bytes(size);
  for (uint8_t& byte : bytes) {
    byte = static_cast<uint8_t>(value);
    value >>= 8;
  }
  return bytes;
}

Bytes at_place(uint32_t place, const Bytes& what) {
  return number(place, kPlaceBytes) + what;
}

// `patch` with the hash of the page that it results in.
Bytes patch_to(const Bytes& page, const Bytes& patch) {
  return number(hash_page(page.data(), kSmallPage, kSampleSecret), kSumBytes) + patch;
}

TEST(Unpack, FillsExactlyWhatItIsTold) {
  BatchDecoder decoder;
  const Bytes plain = text_page(1, 5000);
  const Bytes pack = packed(plain);
  Bytes out(plain.size());
  ASSERT_TRUE(decoder.unpack(pack, out));
  EXPECT_EQ(out, plain);
  out.resize(plain.size() + 1);
  EXPECT_ERROR(decoder.unpack(pack, out), "5000", "5001");
  out.resize(plain.size() - 1);
  EXPECT_ERROR(decoder.unpack(pack, out), "does not unpack");
  EXPECT_FALSE(decoder.unpack(pack, std::span<uint8_t>())) << "no room at all";
  out.resize(plain.size());
  EXPECT_TRUE(decoder.unpack(pack, out)) << "an error leaves nothing behind";
}

TEST(Unpack, RefusesWhatIsNoPack) {
  BatchDecoder decoder;
  const Bytes plain = text_page(1, 5000);
  const Bytes pack = packed(plain);
  Bytes out(plain.size());
  for (size_t length = 0; length < pack.size(); ++length) {
    EXPECT_FALSE(decoder.unpack(std::span(pack).first(length), out)) << length;
  }
  EXPECT_ERROR(decoder.unpack(pack + Bytes{0}, out), "more than one zstd frame");
  EXPECT_ERROR(decoder.unpack(random_page(1, 5000), out), "does not unpack");
  EXPECT_ERROR(decoder.unpack(plain, out), "does not unpack");
}

TEST(Unpack, RefusesTwoPacksForOne) {
  BatchDecoder decoder;
  const Bytes plain = text_page(1, 5000);
  Bytes out(2 * plain.size());
  EXPECT_ERROR(decoder.unpack(packed(plain) + packed(plain), out), "more than one zstd frame");
}

// A few bytes that claim to unpack to many must not be believed.
TEST(Unpack, ABombStaysWithinItsBounds) {
  BatchDecoder decoder;
  const Bytes bomb = packed(Bytes(100 << 20));
  Bytes out(kSmallPage, 7);
  EXPECT_ERROR(decoder.unpack(bomb, std::span(out).first(kSmallPage / 2)), "does not unpack");
  EXPECT_EQ(std::vector(out.begin() + kSmallPage / 2, out.end()), Bytes(kSmallPage / 2, 7));
}

TEST(View, FindsEachPageWhereItLies) {
  const Bytes first = random_page(1, kSmallPage);
  const Bytes second = random_page(2, kSmallPage);
  const Bytes lines = lines_of(first, 0b101);
  const Bytes patch = Bytes(kSumBytes, 1) + Bytes{4, 0, 9, 0, 0, 'x'};
  const Bytes plain = lines + first + patch + Bytes(5 * kDigestBytes, 3);
  const Bytes raw = second + first;
  auto batch = batch_of({{0, PageKind::raw, 1, 9},
                         {0, PageKind::lines, 1, 1},
                         {0, PageKind::zero, 5, 100},
                         {1, PageKind::packed, 1, 3},
                         {0, PageKind::patch, 1, 2},
                         {0, PageKind::raw, 1, 4}});
  auto seen = view(batch, plain, raw, true);
  ASSERT_TRUE(seen) << seen.error().message;
  ASSERT_EQ(batch.data.size(), 5u);
  EXPECT_EQ(batch.data[0], raw.data());
  EXPECT_EQ(batch.data[1], plain.data());
  EXPECT_EQ(batch.data[2], plain.data() + lines.size());
  EXPECT_EQ(batch.data[3], plain.data() + lines.size() + kSmallPage);
  EXPECT_EQ(batch.data[4], raw.data() + kSmallPage);
  EXPECT_EQ(batch.sums, plain.data() + plain.size() - 5 * kDigestBytes);
  EXPECT_TRUE(has_references(batch));
  EXPECT_ERROR(view(batch, plain, raw, false), "longer or shorter");
}

TEST(View, RefusesWhatIsNotAsLongAsTheTableSays) {
  const Bytes page = random_page(1, kSmallPage);
  const Bytes lines = lines_of(page, 0b11);
  for (const bool sums : {false, true}) {
    const Bytes tail(sums ? 3 * kDigestBytes : 0);
    const Bytes plain = page + lines + tail;
    auto batch =
        batch_of({{0, PageKind::packed, 1, 0}, {0, PageKind::raw, 1, 1}, {0, PageKind::lines, 1, 2}});
    ASSERT_TRUE(view(batch, plain, page, sums));
    for (size_t length = 0; length < plain.size(); ++length) {
      EXPECT_FALSE(view(batch, std::span(plain).first(length), page, sums)) << length;
    }
    for (size_t length = 0; length < page.size(); ++length) {
      EXPECT_FALSE(view(batch, plain, std::span(page).first(length), sums)) << length;
    }
    EXPECT_ERROR(view(batch, plain + Bytes{0}, page, sums), "longer or shorter");
    EXPECT_ERROR(view(batch, plain, page + Bytes{0}, sums), "longer or shorter");
    EXPECT_ERROR(view(batch, plain + Bytes(kDigestBytes), page, sums), "longer or shorter");
  }
}

TEST(View, RefusesChangesThatAreCutOff) {
  const Bytes page = random_page(1, kSmallPage);
  auto lines = batch_of({{0, PageKind::lines, 1, 0}});
  Bytes encoded = lines_of(page, 1);
  encoded[7] = 0x80;  // says that one more line follows
  EXPECT_ERROR(view(lines, encoded, {}, false), "cut short");
  auto patch = batch_of({{0, PageKind::patch, 1, 0}});
  EXPECT_ERROR(view(patch, Bytes(kSumBytes) + Bytes{200, 0, 0, 0, 0, 'x'}, {}, false), "cut short");
  EXPECT_ERROR(view(patch, Bytes(kSumBytes) + Bytes{4, 0, 0, 4, 0, 'x'}, {}, false), "beyond the page");
  auto same = batch_of({{0, PageKind::same, 1, 0}});
  const Bytes reference = reference_to(0, 1, page);
  EXPECT_TRUE(view(same, reference, {}, false));
  EXPECT_FALSE(view(same, std::span(reference).first(reference.size() - 1), {}, false));
}

TEST(View, ABatchOfZeroPagesHasNoBytes) {
  auto batch = batch_of({{0, PageKind::zero, 7, 0}});
  EXPECT_TRUE(view(batch, {}, {}, false));
  EXPECT_TRUE(view(batch, {}, {}, true));
  EXPECT_FALSE(view(batch, Bytes{0}, {}, false));
  EXPECT_FALSE(view(batch, {}, Bytes{0}, false));
  EXPECT_FALSE(has_references(batch));
}

TEST(Resolve, MakesWholePages) {
  for (const bool copies : {false, true}) {
    Memory memory;
    memory.copies = copies;
    const Bytes raw = random_page(1, kSmallPage);
    memory.pages[1] = random_page(2, kSmallPage);
    memory.pages[2] = random_page(3, kSmallPage);
    memory.pages[5] = random_page(4, kSmallPage);
    Bytes second = memory.pages[2];
    second[0] ^= 1;
    second[kSmallPage - 1] ^= 1;
    memory.pages[90] = random_page(5, kSmallPage);
    Bytes fifth = memory.pages[5];
    fifth[9] = 'x';
    const Bytes plain = lines_of(memory.pages[1], 0) + lines_of(second, 1 | uint64_t{1} << 63) +
                        patch_to(fifth, {4, 0, 9, 0, 0, 'x'}) + reference_to(0, 90, memory.pages[90]) +
                        reference_to(0, 1, memory.pages[1]);
    auto batch = batch_of({{0, PageKind::raw, 1, 0},
                           {0, PageKind::lines, 2, 1},
                           {0, PageKind::zero, 2, 3},
                           {0, PageKind::patch, 1, 5},
                           {0, PageKind::raw, 1, 6},
                           {1, PageKind::same, 2, 7}});
    const Bytes raws = raw + raw;
    ASSERT_TRUE(view(batch, plain, raws, false));
    const Memory before = memory;
    Bytes scratch;
    auto resolved = resolve(batch, kSmallSpace, kSampleSecret, &memory, nullptr, scratch);
    ASSERT_TRUE(resolved) << resolved.error().message;
    EXPECT_TRUE(*resolved);
    EXPECT_FALSE(has_references(batch));
    std::map<uint64_t, Bytes> got;
    batch.each([&](uint16_t, uint64_t index, const uint8_t* bytes) {
      if (bytes) got[index] = {bytes, bytes + kSmallPage};
    });
    EXPECT_EQ(got, (std::map<uint64_t, Bytes>{{0, raw},
                                              {1, memory.pages[1]},
                                              {2, second},
                                              {5, fifth},
                                              {6, raw},
                                              {7, memory.pages[90]},
                                              {8, memory.pages[1]}}));
    EXPECT_EQ(memory.pages, before.pages) << "nothing is placed yet";
  }
}

// The source assumed other bytes there. That is not an error.
TEST(Resolve, AnotherBaseThanTheSourceBelievedIsNoError) {
  Memory memory;
  memory.pages[1] = random_page(2, kSmallPage);
  Bytes now = memory.pages[1];
  now[0] ^= 1;
  memory.pages[1][kSmallPage / 2] ^= 1;
  const Bytes plain = lines_of(now, 1);
  auto batch = batch_of({{0, PageKind::lines, 1, 1}});
  ASSERT_TRUE(view(batch, plain, {}, false));
  const Bytes before = memory.pages[1];
  Bytes scratch;
  auto resolved = resolve(batch, kSmallSpace, kSampleSecret, &memory, nullptr, scratch);
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_FALSE(*resolved);
  EXPECT_EQ(memory.pages[1], before);
}

// The page that is referred to was sent anew, and has landed already.
TEST(Resolve, AnotherPageThanTheSourceBelievedIsNoError) {
  for (const bool copies : {false, true}) {
    Memory memory;
    memory.copies = copies;
    memory.pages[1] = random_page(1, kSmallPage);
    const Bytes plain = reference_to(0, 1, random_page(2, kSmallPage));
    auto batch = batch_of({{0, PageKind::same, 1, 5}});
    ASSERT_TRUE(view(batch, plain, {}, false));
    Bytes scratch;
    auto resolved = resolve(batch, kSmallSpace, kSampleSecret, &memory, nullptr, scratch);
    ASSERT_TRUE(resolved) << resolved.error().message;
    EXPECT_FALSE(*resolved);
  }
}

// The destination's hashes are those of its own session only.
TEST(Resolve, PagesThatWereHashedWithAnotherSecretComeAgain) {
  const PageSecret other = draw_secret();
  Memory memory;
  const Bytes page = random_page(1, kSmallPage);
  memory.pages[1] = page;
  for (const auto& [kind, plain] :
       std::vector<std::pair<PageKind, Bytes>>{{PageKind::kept, at_place(3, patch_to(page, {0, 0}))},
                                               {PageKind::lines, lines_of(page, 1)},
                                               {PageKind::patch, patch_to(page, {0, 0})},
                                               {PageKind::same, reference_to(0, 1, page)}}) {
    for (const PageSecret& secret : {kSampleSecret, other}) {
      CopyMirror copies(10, kSmallPage, secret);
      ASSERT_TRUE(copies.keep(3, 0, 1, page.data()));
      auto batch = batch_of({{0, kind, 1, 1}});
      ASSERT_TRUE(view(batch, plain, {}, false));
      Bytes scratch;
      auto resolved = resolve(batch, kSmallSpace, secret, &memory, &copies, scratch);
      ASSERT_TRUE(resolved) << resolved.error().message;
      EXPECT_EQ(*resolved, secret == kSampleSecret) << static_cast<int>(kind);
    }
  }
}

TEST(Resolve, RefusesReferencesToWhatIsNoPage) {
  const Bytes page = random_page(1, kSmallPage);
  for (const auto& [block, index] : std::vector<std::pair<uint16_t, uint64_t>>{
           {0, 100}, {0, (uint64_t{1} << 48) - 1}, {1, 100}, {2, 0}, {65535, 0}}) {
    const Bytes plain = reference_to(block, index, page);
    auto batch = batch_of({{0, PageKind::same, 1, 5}});
    ASSERT_TRUE(view(batch, plain, {}, false));
    Bytes scratch;
    const Memory memory;
    auto resolved = resolve(batch, kSmallSpace, kSampleSecret, &memory, nullptr, scratch);
    EXPECT_ERROR(resolved, "outside guest memory") << block << ":" << index;
  }
}

TEST(Resolve, ABaseThatCannotBeReadIsAnError) {
  Memory memory;
  const Bytes plain = lines_of(random_page(1, kSmallPage), 1);
  auto batch = batch_of({{1, PageKind::lines, 1, 1}});
  ASSERT_TRUE(view(batch, plain, {}, false));
  Bytes scratch;
  EXPECT_ERROR(resolve(batch, kSmallSpace, kSampleSecret, &memory, nullptr, scratch),
               "block 1 cannot be read");
  const Bytes reference = reference_to(1, 5, random_page(1, kSmallPage));
  auto same = batch_of({{0, PageKind::same, 1, 1}});
  ASSERT_TRUE(view(same, reference, {}, false));
  EXPECT_FALSE(resolve(same, kSmallSpace, kSampleSecret, &memory, nullptr, scratch));
}

TEST(Resolve, APageToBeKeptIsThePageAndTheCopyOfTheNext) {
  CopyMirror copies(10, kSmallPage, kSampleSecret);
  Bytes page = random_page(1, kSmallPage);
  const Bytes kept = at_place(9, page);
  auto first = batch_of({{0, PageKind::keep, 1, 5}});
  ASSERT_TRUE(view(first, kept, {}, false));
  Bytes scratch;
  ASSERT_TRUE(resolve(first, kSmallSpace, kSampleSecret, nullptr, &copies, scratch));
  EXPECT_FALSE(has_references(first));
  EXPECT_EQ(Bytes(first.data[0], first.data[0] + kSmallPage), page);
  for (const uint8_t value : {uint8_t{'x'}, uint8_t{'y'}}) {
    page[9] = value;
    const Bytes patch = at_place(9, patch_to(page, {4, 0, 9, 0, 0, value}));
    auto next = batch_of({{0, PageKind::kept, 1, 5}});
    ASSERT_TRUE(view(next, patch, {}, false));
    auto resolved = resolve(next, kSmallSpace, kSampleSecret, nullptr, &copies, scratch);
    ASSERT_TRUE(resolved && *resolved);
    EXPECT_EQ(Bytes(next.data[0], next.data[0] + kSmallPage), page);
  }
}

TEST(Resolve, ACopyThatIsNotOfThePageIsNoError) {
  CopyMirror copies(10, kSmallPage, kSampleSecret);
  const Bytes page = random_page(1, kSmallPage);
  ASSERT_TRUE(copies.keep(3, 0, 5, page.data()));
  Bytes scratch;
  for (const auto& [block, index, place] : std::vector<std::tuple<uint16_t, uint64_t, uint32_t>>{
           {0, 6, 3}, {1, 5, 3}, {0, 5, 2}, {0, 5, 4}, {0, 5, 10}, {0, 5, ~uint32_t{0}}}) {
    const Bytes plain = at_place(place, patch_to(page, {0, 0}));
    auto batch = batch_of({{block, PageKind::kept, 1, index}});
    ASSERT_TRUE(view(batch, plain, {}, false));
    auto resolved = resolve(batch, kSmallSpace, kSampleSecret, nullptr, &copies, scratch);
    ASSERT_TRUE(resolved);
    EXPECT_FALSE(*resolved) << block << ":" << index << "@" << place;
  }
}

// QEMU 7.2 sometimes sends a page twice in an epoch. The second version can come first.
TEST(Resolve, APatchOfAnotherBaseIsNoError) {
  Memory memory;
  memory.pages[1] = random_page(2, kSmallPage);
  Bytes now = memory.pages[1];
  now[9] = 'x';
  now[900] ^= 1;
  const Bytes plain = patch_to(now, {4, 0, 9, 0, 0, 'x'});
  auto batch = batch_of({{0, PageKind::patch, 1, 1}});
  ASSERT_TRUE(view(batch, plain, {}, false));
  Bytes scratch;
  auto resolved = resolve(batch, kSmallSpace, kSampleSecret, &memory, nullptr, scratch);
  ASSERT_TRUE(resolved);
  EXPECT_FALSE(*resolved);
}

TEST(Resolve, APageToBeKeptIsAPageWhereNothingIsKept) {
  const Bytes page = random_page(1, kSmallPage);
  const Bytes plain = at_place(7, page);
  auto batch = batch_of({{0, PageKind::keep, 1, 5}});
  ASSERT_TRUE(view(batch, plain, {}, false));
  Bytes scratch;
  auto resolved = resolve(batch, kSmallSpace, kSampleSecret, nullptr, nullptr, scratch);
  ASSERT_TRUE(resolved && *resolved);
  EXPECT_EQ(Bytes(batch.data[0], batch.data[0] + kSmallPage), page);
}

TEST(Resolve, WithoutMemoryOrCopiesWhatRefersToThemIsAnError) {
  const Bytes page = random_page(1, kSmallPage);
  const Memory memory;
  CopyMirror copies(10, kSmallPage, kSampleSecret);
  Bytes scratch;
  for (const auto& [kind, plain] :
       std::vector<std::pair<PageKind, Bytes>>{{PageKind::kept, at_place(0, patch_to(page, {0, 0}))},
                                               {PageKind::lines, lines_of(page, 1)},
                                               {PageKind::patch, patch_to(page, {0, 0})},
                                               {PageKind::same, reference_to(0, 1, page)}}) {
    auto batch = batch_of({{0, kind, 1, 5}});
    ASSERT_TRUE(view(batch, plain, {}, false));
    const bool copied = kind == PageKind::kept;
    auto resolved = resolve(batch, kSmallSpace, kSampleSecret, copied ? &memory : nullptr,
                            copied ? nullptr : &copies, scratch);
    EXPECT_ERROR(resolved, "refers to pages", "not held here");
  }
}

// The batch comes again with whole pages, but batches that follow it already rely on its copies.
TEST(Resolve, CopiesAreMadeEvenIfAnotherPageOfTheBatchDoesNotFit) {
  Memory memory;
  memory.pages[1] = random_page(2, kSmallPage);
  Bytes other = memory.pages[1];
  other[0] ^= 1;
  other[kSmallPage - 1] ^= 1;
  CopyMirror copies(10, kSmallPage, kSampleSecret);
  const Bytes page = random_page(3, kSmallPage);
  const Bytes plain = lines_of(other, 1) + at_place(7, page);
  auto batch = batch_of({{0, PageKind::lines, 1, 1}, {1, PageKind::keep, 1, 2}});
  ASSERT_TRUE(view(batch, plain, {}, false));
  Bytes scratch;
  auto resolved = resolve(batch, kSmallSpace, kSampleSecret, &memory, &copies, scratch);
  ASSERT_TRUE(resolved);
  EXPECT_FALSE(*resolved);
  Bytes copy(kSmallPage);
  const uint64_t sum = hash_page(page.data(), kSmallPage, kSampleSecret);
  EXPECT_TRUE(copies.patch(7, 1, 2, Bytes{0, 0}, sum, copy.data()));
}

TEST(CheckSums, NamesThePageThatIsNotWhatWasSent) {
  PageBatch batch;
  batch.page_size = kSmallPage;
  const Bytes first = random_page(1, kSmallPage);
  Bytes second = text_page(2, kSmallPage);
  batch.add(0, 5, first.data());
  batch.add(0, 6, nullptr);
  batch.add(3, 77, second.data());
  BatchEncoder encoder;
  EncodedBatch encoded;
  encoder.encode(batch, 0, {Encoding::History::untouched, std::nullopt, true}, encoded);
  auto read = read_table(encoded.table, {kSmallPage, {100, 100, 100, 100}});
  ASSERT_TRUE(read);
  const Bytes body = body_of(encoded);
  const auto plain = std::span(body).first(encoded.plain_size);
  ASSERT_TRUE(view(*read, plain, std::span(body).subspan(plain.size()), true));
  EXPECT_TRUE(check_sums(*read));
  second[1] ^= 1;
  read->data[1] = second.data();
  EXPECT_ERROR(check_sums(*read), "page 77", "block number 3");
  read->sums = nullptr;
  EXPECT_TRUE(check_sums(*read)) << "a batch without sums";
}

TEST(CheckSums, NoticesAPageThatWasMadeToHashAlike) {
  const auto [one, other] = test::made_pages(test::kKnownToAll);
  PageBatch batch;
  batch.page_size = test::kPage;
  batch.add(0, 5, one.data());
  auto digest = digest_page(one.data(), test::kPage);
  ASSERT_TRUE(digest);
  batch.sums = digest->data();
  EXPECT_TRUE(check_sums(batch));
  batch.data[0] = other.data();
  EXPECT_ERROR(check_sums(batch), "page 5", "block number 0");
}

// What a guest does to one of its pages between two epochs.
void change_page(Bytes& page, const std::vector<Bytes>& pages, uint32_t seed, std::mt19937& random) {
  const auto size = static_cast<uint32_t>(page.size());
  switch (random() % 8) {
    case 0:
      page = Bytes(size);
      break;
    case 1:
      page = random_page(seed, size);
      break;
    case 2:
      page = text_page(seed, size);
      break;
    case 3:
      break;
    case 4:
      page = pages[random() % pages.size()];
      break;
    default:
      for (uint32_t change = seed % 6; change > 0; --change)
        page[random() % size] = static_cast<uint8_t>(random());
  }
}

// A guest that changes at random is encoded, and decoding gives the same guest: relative to guest memory, or
// to copies if its pages are relayed, also if a batch is lost and sent again, and if the history shrinks.
class Codec : public testing::TestWithParam<uint32_t> {};

TEST_P(Codec, BringsEveryPageBack) {
  constexpr uint64_t kPages = 200;
  std::mt19937 random(GetParam());
  const uint32_t page_size = 1024u << random() % 4;
  const PageSpace space{page_size, {kPages}};
  PageHistory history(GetParam() % 3 == 0 ? std::optional<uint64_t>(150'000) : std::nullopt);
  history.set_space(space);
  BatchEncoder encoder(&history);
  BatchDecoder decoder;
  std::vector<Bytes> source(kPages, Bytes(page_size));
  Memory memory;
  for (uint64_t i = 0; i < kPages; ++i) memory.pages[i] = Bytes(page_size, 0xee);
  PageCounts counts;
  const bool relayed = GetParam() % 4 == 0;
  CopyMirror copies(100, page_size, history.secret());
  for (uint32_t epoch = 0; epoch < 40; ++epoch) {
    if (epoch == 2 && relayed) history.refer_to_copies(copies.capacity());
    if (epoch == 2 && !relayed) history.refer_to({0});
    if (GetParam() % 5 == 0 && epoch >= 20 && epoch % 5 == 0) history.shrink(history.bytes() * 4 / 5);
    PageBatch batch;
    batch.page_size = page_size;
    for (uint64_t i = random() % 20; i < kPages && batch.has_room(); i += 1 + random() % 4) {
      Bytes& page = source[i];
      const auto seed = static_cast<uint32_t>(random());
      change_page(page, source, seed, random);
      const bool said_zero = page == Bytes(page_size) && seed % 2;
      batch.add(0, i, said_zero ? nullptr : page.data());
    }
    if (batch.empty()) continue;
    Encoding encoding;
    encoding.history = static_cast<Encoding::History>(random() % 8 == 0 ? 1 : 2);
    if (random() % 2) encoding.level = 1;
    encoding.sums = random() % 2;
    EncodedBatch encoded;
    encoder.encode(batch, epoch, encoding, encoded);
    counts += encoded.counts;
    history.landed(encoded.whole);
    if (random() % 4 == 0) {
      const auto copied = encoded.copied;
      encoding.history = Encoding::History::untouched;
      encoder.encode(batch, epoch, encoding, encoded, copied);
      EXPECT_EQ(encoded.counts.delta + encoded.counts.same, 0u);
    }
    const Bytes body = body_of(encoded);
    ASSERT_EQ(body.size(), encoded.body_size);
    const std::span<const uint8_t> pack = std::span(body).first(encoded.pack_size);
    Bytes plain(pack.begin(), pack.end());
    if (encoded.pack_size != encoded.plain_size) {
      plain.resize(encoded.plain_size);
      ASSERT_TRUE(decoder.unpack(pack, plain));
    }
    auto read = read_table(encoded.table, space);
    ASSERT_TRUE(read) << read.error().message;
    auto seen = view(*read, plain, std::span(body).subspan(pack.size()), encoding.sums);
    ASSERT_TRUE(seen) << seen.error().message;
    Bytes scratch;
    auto resolved = resolve(*read, space, history.secret(), relayed ? nullptr : &memory, &copies, scratch);
    ASSERT_TRUE(resolved && *resolved);
    auto checked = check_sums(*read);
    ASSERT_TRUE(checked) << checked.error().message;
    read->each([&](uint16_t, uint64_t index, const uint8_t* bytes) {
      memory.pages[index] = bytes ? Bytes(bytes, bytes + page_size) : Bytes(page_size);
      EXPECT_EQ(memory.pages[index], source[index]) << "epoch " << epoch << " page " << index;
    });
  }
  EXPECT_GT(counts.zero, 0u);
  EXPECT_GT(counts.delta, 0u);
  if (GetParam() % 3 && !relayed) {
    EXPECT_GT(counts.same, 0u);
  }
  EXPECT_GT(counts.zstd, 0u);
  EXPECT_GT(counts.raw, 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Codec, testing::Range(1u, 25u));

}  // namespace
}  // namespace wherry
