// A reader of one channel's bytes, whichever kind of channel it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace wherry::qemu {

class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // Consumes whole elements from the front and returns their length; what remains comes again, with more
  // behind. The bytes are the reader's to change.
  virtual size_t read(std::span<uint8_t> bytes) = 0;
  struct Want {
    size_t contiguous;  // this many, what remained included, must be able to lie side by side
    size_t at_most;     // more than that should not be received before the next read()
  };
  // What the next read() needs to get on for sure.
  virtual Want wants(std::span<const uint8_t> remained) const = 0;
};

}  // namespace wherry::qemu
