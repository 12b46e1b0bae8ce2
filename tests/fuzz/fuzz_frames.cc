// Everything that is read from another Wherry. Input: a byte that chooses what, then its bytes.
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "compression/batch_decoder.h"
#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "compression/line_delta.h"
#include "compression/page_patch.h"
#include "tests/compression/sample_secret.h"
#include "tests/fuzz/promise.h"
#include "transport/socket/socket.h"
#include "transport/wire/channel.h"
#include "transport/wire/control.h"
#include "transport/wire/frame.h"
#include "transport/wire/frame_socket.h"

namespace wherry {
namespace {

using Bytes = std::span<const uint8_t>;

// A header that is accepted encodes to itself again.
void header(Bytes input) {
  if (input.size() < kFrameHeaderBytes) return;
  HeaderBytes bytes;
  std::copy_n(input.begin(), bytes.size(), bytes.begin());
  const Bytes table = input.subspan(bytes.size());
  const bool sound = check_head(bytes, table).has_value();
  auto decoded = decode_header(bytes);
  if (!decoded) return;
  PROMISE(decoded->table_length <= kMaxTable && decoded->body_length <= kMaxBody);
  PROMISE(decoded->pack_length <= decoded->body_length && decoded->plain_length <= kMaxBody);
  const HeaderBytes again = encode_header(*decoded, table);
  PROMISE(std::memcmp(again.data(), bytes.data(), 48) == 0);
  PROMISE(std::memcmp(again.data() + 56, bytes.data() + 56, 8) == 0);
  PROMISE(check_head(again, table));
  PROMISE(sound == (again == bytes));
}

// What the destination holds: a page of its own for each, or none that can be read.
class Bases : public PageBases {
 public:
  explicit Bases(bool mapped) : mapped_(mapped), page_(65536, 0xee) {}
  Result<const uint8_t*> base(uint16_t block, uint64_t, uint32_t page_size, uint8_t* scratch) const override {
    if (block == 3) return fail("block {} cannot be read", block);
    if (mapped_) return page_.data();
    std::copy_n(page_.data(), page_size, scratch);
    return scratch;
  }

 private:
  const bool mapped_;
  const std::vector<uint8_t> page_;
};

// Pages that are encoded again come out the same.
void encode_again(const PageBatch& batch, const PageSpace& space, bool zstd, BatchDecoder& decoder) {
  static BatchEncoder encoder;
  EncodedBatch encoded;
  const Encoding how{Encoding::History::untouched, zstd ? std::optional<int>(1) : std::nullopt, true};
  PROMISE(encoder.encode(batch, 0, how, encoded));
  PROMISE(encoded.plain_size <= kMostPlain);
  std::vector<uint8_t> body;
  for (Bytes part : encoded.body) body.insert(body.end(), part.begin(), part.end());
  PROMISE(body.size() == encoded.body_size);
  auto again = read_table(encoded.table, space);
  if (!again) {  // a table of anybody's may become longer, where pages turn out to be zero
    PROMISE(encoded.table.size() > kBatchRuns * kRunBytes);
    return;
  }
  PROMISE(again->page_count() == batch.page_count());
  std::vector<uint8_t> packed(body.begin(), body.begin() + encoded.pack_size);
  if (encoded.pack_size != encoded.plain_size) {
    packed.resize(encoded.plain_size);
    PROMISE(decoder.unpack(Bytes(body).first(encoded.pack_size), packed));
  }
  PROMISE(view(*again, packed, Bytes(body).subspan(encoded.pack_size), true));
  PROMISE(check_sums(*again));
  const std::vector<uint8_t> zeros(space.page_size);
  std::vector<const uint8_t*> before;
  batch.each([&](uint16_t, uint64_t, const uint8_t* page) { before.push_back(page ? page : zeros.data()); });
  size_t next = 0;
  again->each([&](uint16_t, uint64_t, const uint8_t* page) {
    PROMISE(std::memcmp(page ? page : zeros.data(), before[next++], space.page_size) == 0);
  });
}

// A table that is accepted names pages of the guest, not more than a batch has, and is put as it was read.
// Its pack, views and changes stay within what there is. Input: entries, page size, flags (1 sums, 2 zstd,
// 4 mapped, 8 not readable), u16 length of the pack, u32 of its plain bytes, then table, pack, raw pages.
void batch(Bytes input) {
  if (input.size() < 9) return;
  const size_t entries = input[0];
  const PageSpace space{1024u << input[1] % 7, {1000, 0, uint64_t{1} << 40, 5}};
  const bool sums = input[2] & 1;
  const bool zstd = input[2] & 2;
  const Bases bases(input[2] & 4);
  const Bases* const readable = input[2] & 8 ? nullptr : &bases;
  const size_t pack_length = input[3] | input[4] << 8;
  const size_t plain_length = (input[5] | input[6] << 8 | input[7] << 16) % (kMostPlain + 1);
  input = input.subspan(9);
  const size_t length = std::min(entries * kRunBytes + (entries == 255 ? 1 : 0), input.size());
  const Bytes table = input.first(length);
  const Bytes pack = input.subspan(length).first(std::min(pack_length, input.size() - length));
  const Bytes raw = input.subspan(length + pack.size());
  auto read = read_table(table, space);
  if (!read) return;
  uint64_t pages = 0;
  uint64_t bytes = 0;
  for (const PageRun& run : read->runs) {
    PROMISE(space.contains(run));
    pages += run.count;
    if (run.kind != PageKind::zero) bytes += uint64_t{run.count} * space.page_size;
  }
  PROMISE(pages == read->page_count() && pages <= kBatchPages && bytes <= kBatchBytes);
  std::vector<uint8_t> put;
  put_table(read->runs, put);
  PROMISE(std::equal(put.begin(), put.end(), table.begin(), table.end()));

  static BatchDecoder decoder;
  // Of its exact size, so that a read beyond it is seen.
  std::vector<uint8_t> plain(pack.begin(), pack.end());
  if (zstd) {
    plain.assign(plain_length, 0xcc);
    if (!decoder.unpack(pack, plain)) return;
  }
  const std::vector<uint8_t> behind(raw.begin(), raw.end());
  if (!view(*read, plain, behind, sums)) return;
  PROMISE(read->data.size() * space.page_size == bytes);
  std::vector<uint8_t> scratch;
  const bool references = has_references(*read);
  CopyMirror copies(~uint32_t{0}, space.page_size, test::kSampleSecret);
  const std::vector<uint8_t> kept(space.page_size, 0xdd);
  PROMISE(copies.keep(1, 0, 7, kept.data()));
  const uint64_t one = copies.bytes();
  auto resolved = resolve(*read, space, test::kSampleSecret, readable, &copies, scratch);
  PROMISE(copies.bytes() <= one * (1 + read->data.size()));
  if (!resolved || !*resolved) {
    PROMISE(references);
    return;
  }
  PROMISE(!has_references(*read));
  (void)check_sums(*read);
  encode_again(*read, space, zstd, decoder);
}

// A change is applied if it is valid, whether or not somebody has checked it, and stays within its page.
void change(Bytes input) {
  if (input.empty()) return;
  const uint32_t page_size = 1024u << input[0] % 7;
  // Of their exact size, so that what goes beyond them is seen.
  const std::vector<uint8_t> said(input.begin() + 1, input.end());
  const std::vector<uint8_t> base(page_size, 0xee);
  std::vector<uint8_t> page = base;
  PROMISE(apply_patch(said, page) == patch_length(said, page_size).has_value());
  const bool lines = apply_lines(said, base.data(), page_size, test::kSampleSecret, page.data());
  PROMISE(!lines || lines_length(said, page_size));
}

void blocks(Bytes input) {
  auto map = read_map(input, "peer");
  if (!map) return;
  PROMISE(map->is_object());
  (void)member<uint32_t>(*map, "lanes");
  (void)member<std::string>(*map, "token");
  (void)numbers<uint16_t>(*map, "blocks");
  (void)numbers<uint8_t>(*map, "secret");
  auto read = GuestBlocks::from_json(*map);
  if (!read) return;
  (void)read->space();
  uint64_t room = kMaxGuestBytes;
  for (const GuestBlocks::Block& block : read->blocks) {
    PROMISE(block.length <= room);
    room -= block.length;
  }
  auto again = GuestBlocks::from_json(*read_map(nlohmann::json::to_cbor(read->to_json()), "peer"));
  PROMISE(again && again->to_json() == read->to_json());
}

// Cuts the bytes into frames with correct sums, so that the code after that check is reached. A frame of type
// 0 keeps wrong sums. Then the connection ends.
void stream(Bytes input) {
  std::vector<uint8_t> wire;
  size_t frames = 0;
  while (input.size() >= kFrameHeaderBytes && wire.size() < 60000) {
    HeaderBytes bytes;
    std::copy_n(input.begin(), bytes.size(), bytes.begin());
    input = input.subspan(bytes.size());
    auto decoded = decode_header(bytes);
    if (decoded) {
      const Bytes table = input.first(std::min<size_t>(decoded->table_length, input.size()));
      const Bytes body = input.subspan(table.size())
                             .first(std::min<size_t>(decoded->body_length, input.size() - table.size()));
      Checksum sum;
      sum.add(body);
      decoded->body_sum = sum.value();
      bytes = encode_header(*decoded, table);
      if (table.size() == decoded->table_length && body.size() == decoded->body_length) ++frames;
      wire.insert(wire.end(), bytes.begin(), bytes.end());
      wire.insert(wire.end(), input.begin(),
                  input.begin() + static_cast<ptrdiff_t>(table.size() + body.size()));
      input = input.subspan(table.size() + body.size());
    } else {
      wire.insert(wire.end(), bytes.begin(), bytes.end());
      break;
    }
  }
  wire.insert(wire.end(), input.begin(),
              input.begin() + static_cast<ptrdiff_t>(std::min<size_t>(input.size(), 100)));
  if (wire.size() > 150000) return;  // more than the socket takes at once
  int fds[2];
  PROMISE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  Fd sender(fds[0]);
  FrameSocket receiver(Fd(fds[1]), "peer");
  PROMISE(send_all(sender.get(), Bytes(wire)));
  sender.reset();
  FrameHead head;
  size_t received = 0;
  for (;;) {
    auto more = receiver.receive_head(head);
    if (!more || !*more) break;
    auto body = receiver.receive_body();
    if (!body) break;
    PROMISE(body->size() == head.header.body_length);
    ++received;
  }
  PROMISE(received == frames);
}

}  // namespace
}  // namespace wherry

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::span<const uint8_t> input(data + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      wherry::header(input);
      break;
    case 1:
      wherry::batch(input);
      break;
    case 2:
      wherry::blocks(input);
      break;
    case 3:
      wherry::stream(input);
      break;
    case 4:
      wherry::change(input);
      break;
  }
  return 0;
}
