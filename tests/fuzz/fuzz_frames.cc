// Everything that is read from another Wherry. Input: a byte that chooses what, then its bytes.
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "compression/batch_decoder.h"
#include "compression/batch_table.h"
#include "transport/channel.h"
#include "transport/control.h"
#include "transport/frame.h"
#include "transport/frame_socket.h"
#include "transport/socket.h"

namespace wherry {
namespace {

#define PROMISE(held)                                                                 \
  do {                                                                                \
    if (!(held)) {                                                                    \
      std::fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #held); \
      std::abort();                                                                   \
    }                                                                                 \
  } while (false)

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
  const HeaderBytes again = encode_header(*decoded, table);
  PROMISE(std::memcmp(again.data(), bytes.data(), 48) == 0);
  PROMISE(std::memcmp(again.data() + 56, bytes.data() + 56, 8) == 0);
  PROMISE(check_head(again, table));
  PROMISE(sound == (again == bytes));
}

// Guest memory in which every page of a block is the same, and one block cannot be read.
class Memory : public PageBases {
 public:
  explicit Memory(const PageSpace& space) : space_(space), page_(space.page_size, 'm') {}
  Result<const uint8_t*> base(uint16_t block, uint64_t index, uint32_t page_size,
                              uint8_t* scratch) const override {
    PROMISE(space_.contains({block, PageKind::raw, 1, index}) && page_size == page_.size());
    if (block == 3) return fail("cannot be read");
    if (block == 0) return page_.data();
    std::copy(page_.begin(), page_.end(), scratch);
    return scratch;
  }

 private:
  const PageSpace& space_;
  const std::vector<uint8_t> page_;
};

// Input: entries of the table, page size, 16 times bytes of the pack, then all these. A table that is
// accepted names pages of the guest, not more than a batch has, and encodes to itself again; each page is
// found where it lies, and comes out whole.
void batch(Bytes input) {
  if (input.size() < 3) return;
  const size_t entries = input[0];
  const PageSpace space{1024u << input[1] % 7, {1000, 0, uint64_t{1} << 40, 5}};
  const size_t plain = input[2] * 16;
  input = input.subspan(3);
  const size_t length = std::min(entries * kRunBytes + (entries == 255 ? 1 : 0), input.size());
  const Bytes table = input.first(length);
  const Bytes body = input.subspan(length);
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
  std::vector<uint8_t> again;
  put_table(read->runs, again);
  PROMISE(std::equal(again.begin(), again.end(), table.begin(), table.end()));
  const Bytes pack = body.first(std::min(plain, body.size()));
  if (!view(*read, pack, body.subspan(pack.size()), false)) return;
  PROMISE(read->data.size() * space.page_size == bytes);
  std::vector<uint8_t> scratch;
  auto resolved = resolve(*read, space, Memory(space), scratch);
  if (!resolved || !*resolved) return;
  PROMISE(!has_references(*read));
  uint64_t sum = 0;
  read->each([&](uint16_t, uint64_t, const uint8_t* page) {
    for (uint32_t i = 0; page && i < space.page_size; ++i) sum += page[i];
  });
  PROMISE(sum <= bytes * 255);
}

void blocks(Bytes input) {
  auto map = read_map(input, "peer");
  if (!map) return;
  PROMISE(map->is_object());
  (void)member<uint32_t>(*map, "lanes");
  (void)member<std::string>(*map, "token");
  auto read = GuestBlocks::from_json(*map);
  if (!read) return;
  (void)read->space();
  auto again = GuestBlocks::from_json(*read_map(nlohmann::json::to_cbor(read->to_json()), "peer"));
  PROMISE(again && again->to_json() == read->to_json());
}

// Bytes cut into frames whose sums are made right, so that what lies behind them is reached; a frame of type
// 0 leaves its sums wrong. Then the connection ends.
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
  switch (data[0] % 4) {
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
  }
  return 0;
}
