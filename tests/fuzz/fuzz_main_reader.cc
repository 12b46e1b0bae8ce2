// The main channel's reader on hostile streams. Input: a byte that says how to cut the stream, then the
// stream.
#include "qemu-glue/stream/main_reader.h"
#include "tests/fuzz/checked_events.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wherry::qemu;
  if (size < 1) return 0;
  const std::span<const uint8_t> stream(data + 1, size - 1);
  CheckedEvents whole_events;
  MainReader whole(whole_events);
  const std::string found = feed(whole, whole_events, stream, [] { return SIZE_MAX; });
  CheckedEvents cut_events;
  MainReader cut(cut_events);
  PROMISE(feed(cut, cut_events, stream, chunks(data[0])) == found);
  return 0;
}
