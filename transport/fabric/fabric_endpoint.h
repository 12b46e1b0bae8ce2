// A connected endpoint of a fabric with its queues. It makes libfabric's calls, and knows nothing of lanes.
//
// Completions come on two queues, so that a thread that waits for messages is not woken by operations that
// are done.
//
// Thread-safe as libfabric is, with one exception: open(), connect(), accept() and close() exclude every
// other call, and no operation may be posted or completion read after close().
#pragma once

#include <poll.h>
#include <sys/uio.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "transport/fabric/fabric_domain.h"
#include "transport/fabric/fabric_events.h"

namespace wherry {

class FabricEndpoint {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  // `arrivals`: messages that have come, and writes that have landed here. `done`: what was posted here.
  enum class Queue { arrivals, done };
  // Where a write goes, in the peer's memory.
  struct Target {
    uint64_t address = 0;
    uint64_t key = 0;
  };
  // Registered memory that one write reads, piece by piece.
  struct Gather {
    std::vector<iovec> pieces;
    std::vector<void*> descriptors;  // of the pieces' registrations
    size_t bytes = 0;
  };

  explicit FabricEndpoint(const fi_info& path);
  // The domain must outlive this.
  Result<> open(const FabricDomain& domain, fi_info& path, fabric::Owned<fid_eq> events);
  // One of these makes the connection. The listener recognizes the caller by `hello`.
  Result<> connect(const fi_info& path, std::span<const uint8_t> hello, Deadline until);
  Result<> accept(Deadline until);
  bool is_open() const { return endpoint_ != nullptr; }
  // Ends the connection. May take a minute if the link is dead.
  void close();

  // Post an operation, whose completion names `context`. They return 0 if it is posted, -FI_EAGAIN if there
  // is no room for it now, and otherwise the code of an error.
  ssize_t post_receive(std::span<uint8_t> into, void* descriptor, fi_context2& context) const;
  ssize_t post_send(std::span<const uint8_t> message, void* descriptor, fi_context2& context) const;
  // If there is a `tag`, the peer gets it when the write has landed.
  ssize_t post_write(const Gather& from, Target to, std::optional<uint32_t> tag, fi_context2& context) const;
  // Whether `write` can read another piece of `bytes` bytes.
  bool has_room(const Gather& write, size_t bytes) const;
  // Whether a write that tells the peer its tag uses up a receive that was posted there.
  bool data_takes_receive() const { return data_takes_receive_; }

  // Returns how many completions were read, -FI_EAGAIN if there are none, and otherwise the code of an error.
  // -FI_EAVAIL: an operation has failed, and read_error() returns its code.
  ssize_t read(Queue queue, std::span<fi_cq_data_entry> completions) const;
  ssize_t read_error(Queue queue) const;
  // The next event of the connection manager, if there is one now.
  Result<std::optional<fabric::CmEvent>> next_event() const;

  // Whether sleep() is allowed. If not, something has come that no descriptor will show.
  bool may_sleep(Queue queue) const;
  // Sleeps until something comes on that queue, from the connection manager, or on one of `others`.
  void sleep(Queue queue, const std::array<pollfd, 2>& others, std::chrono::milliseconds longest) const;

 private:
  fid_cq* get(Queue queue) const { return (queue == Queue::arrivals ? arrivals_ : done_).get(); }
  Result<> wait_connected(Deadline until) const;

  const bool data_takes_receive_;
  const size_t longest_write_;  // in bytes
  const size_t most_pieces_;    // the most that one write can gather
  fid_fabric* fabric_ = nullptr;
  fabric::Owned<fid_eq> events_;
  fabric::Owned<fid_cq> arrivals_;
  fabric::Owned<fid_cq> done_;
  fabric::Owned<fid_ep> endpoint_;
};

}  // namespace wherry
