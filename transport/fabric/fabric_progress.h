// Whether a connection over a fabric still gets anything through: it counts the operations that are not done,
// and knows when something last got through. A dead link shows on none of a device's queues, so time decides.
//
// Not thread-safe: the connection guards it.
#pragma once

#include <chrono>
#include <cstddef>

namespace wherry {

class FabricProgress {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit FabricProgress(Time now) : last_(now) {}

  // From now on the connection is stalled after `silence` without progress. Before this call it never is.
  void bound(std::chrono::seconds silence) { silence_ = silence; }
  std::chrono::seconds silence() const { return silence_; }

  // An operation of `bytes` bytes was posted; it is done.
  void posted(size_t bytes, Time now) {
    if (operations_++ == 0) last_ = now;
    bytes_ += bytes;
  }
  void done(size_t bytes, Time now) {
    --operations_;
    bytes_ -= bytes;
    last_ = now;
  }
  // Something came from the peer.
  void arrived(Time now) { last_ = now; }
  // Says whether the peer owes a write. While it does, that counts as an operation that is not done. Each
  // call with true starts the time anew.
  void owe(bool write, Time now) {
    if (write) last_ = now;
    owed_ = write;
  }

  // Operations that are not done, and their bytes.
  size_t operations() const { return operations_; }
  size_t bytes() const { return bytes_; }
  // Something is not done, and nothing got through for longer than `silence`.
  bool stalled(Time now) const {
    return silence_.count() > 0 && (operations_ > 0 || owed_) && now - last_ > silence_;
  }
  // Everything is done, and nothing got through for longer than a third of `silence`.
  bool quiet(Time now) const {
    return silence_.count() > 0 && operations_ == 0 && !owed_ && now - last_ > silence_ / 3.0;
  }

 private:
  std::chrono::seconds silence_{0};  // the longest time without progress; 0: no limit
  size_t operations_ = 0;            // operations that are posted and not done
  size_t bytes_ = 0;                 // bytes of the operations that are posted and not done
  bool owed_ = false;                // the peer owes a write
  Time last_;                        // when something last got through, or the first operation was posted
};

}  // namespace wherry
