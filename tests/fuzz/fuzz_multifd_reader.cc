// The reader of multifd channels on hostile streams. Input: a byte that says how to cut the stream, one that
// chooses the guest's page size, then the stream.
#include "qemu-glue/stream/multifd_reader.h"
#include "tests/fuzz/checked_events.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wherry::qemu;
  if (size < 2) return 0;
  wherry::GuestBlocks blocks;
  const uint32_t sizes[] = {4096, 1024, 65536, 16384};
  blocks.page_size = sizes[data[1] % 4];
  blocks.blocks = {{"pc.ram", uint64_t{1} << 30}, {"a", 3 * uint64_t{65536}}, {"odd", 100000}, {"none", 0}};
  const bool known = data[1] < 0xf0;
  const std::span<const uint8_t> stream(data + 2, size - 2);
  auto run = [&](const std::function<size_t()>& chunk) {
    CheckedEvents events;
    events.know(blocks);
    RepeatedPages repeated;
    MultifdReader reader(
        events, [&]() -> const wherry::GuestBlocks* { return known ? &blocks : nullptr; }, repeated);
    return feed(reader, events, stream, chunk);
  };
  PROMISE(run(chunks(data[0])) == run([] { return SIZE_MAX; }));
  return 0;
}
