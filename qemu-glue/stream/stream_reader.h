// The interface of the readers of one channel's bytes (MainReader, MultifdReader).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace wherry::qemu {

class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // Consumes whole elements from the front and returns their length. The caller passes the rest again, with
  // more bytes after it. The reader may change the bytes.
  virtual size_t read(std::span<uint8_t> bytes) = 0;
  struct Want {
    size_t contiguous;  // bytes that must fit side by side in memory, `remained` included
    size_t at_most;     // bytes to receive before the next read(), at most
  };
  // What the next read() needs in order to make progress. `remained`: what the last read() did not consume.
  virtual Want wants(std::span<const uint8_t> remained) const = 0;
};

}  // namespace wherry::qemu
