// A lane: one network path from source to destination, as the session sees it. There are two kinds: over a
// TCP connection (tcp_lane.h), and over a connected endpoint of a fabric (fabric_lane_sender.h,
// fabric_lane_receiver.h). The interface allows for both: memory is attached before bodies are posted from
// it, posting is separate from completion, and a receiver says where a body goes when it knows the head.
//
// Threads. Of a sender, attach() comes first; then one thread, the lane's worker, calls post() and
// complete(), and another one calls await_end(), once, beside it: over a fabric, both may wait for ever
// unless await_end() runs. Of a receiver, one thread, the lane's worker, calls next(), land(), lost() and
// settle(). All other calls may come from any thread at any time. No call may run while the destructor does.
//
// Errors are final for the lane.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "transport/wire/frame.h"

namespace wherry {

class LaneSender {
 public:
  virtual ~LaneSender() = default;
  // Registers memory that bodies will be posted from. It must outlive the lane.
  virtual Result<> attach(std::span<uint8_t> memory) = 0;
  // Hands one frame to the network; blocks while that has no room. Fills in the lengths and sums of the
  // header. The memory of the body must not change until the frame is acknowledged.
  virtual Result<> post(FrameHeader header, std::span<const uint8_t> table,
                        std::span<const std::span<const uint8_t>> body) = 0;
  // Waits until the network has taken everything that was posted.
  virtual Result<> complete() = 0;
  // Ends the lane, and with it all calls that wait.
  virtual void shut() = 0;
  // Waits until the lane has ended, whoever ended it; says why. Over a fabric this is also the thread that
  // takes what the destination sends back.
  virtual Error await_end() = 0;
  // Bytes that were posted.
  virtual uint64_t bytes_sent() const = 0;
  // How many of bytes_sent() still wait for the network, if that is known; else 0.
  virtual uint64_t bytes_waiting() const = 0;
  // How many of bytes_sent() have not arrived at the peer's host, or are not known to have.
  virtual uint64_t bytes_on_way() const = 0;
  virtual std::string peer() const = 0;
};

class LaneReceiver {
 public:
  enum class News {
    head,  // the head of a frame
    body,  // the oldest body that was on its way has arrived
    end,   // the orderly end of the lane
  };
  virtual ~LaneReceiver() = default;
  // Registers guest RAM that pages are placed in. It must outlive the lane. The peer may write to it from now
  // on; to no other memory that land() is given.
  virtual void attach_guest(std::span<uint8_t> memory) = 0;
  // Waits for what comes next. If it is a head, `head` is that one, checked.
  virtual Result<News> next(FrameHead& head) = 0;
  // Puts the body of the frame of the last head into `where`, whose pieces are as long as its body_length.
  // Has to be called after each head of a frame with a body. False: the body is still on its way, and next()
  // will return News::body for it, in the order of the calls of land(). That can only be for a batch without
  // a pack. After an error, part of the body may be there.
  virtual Result<bool> land(std::span<iovec> where) = 0;
  // After an error: when this has returned, nothing that was on its way lands any more.
  virtual void settle() = 0;
  // Bytes of bodies that the peer has written directly into place (RDMA), without a processor of this side.
  virtual uint64_t bytes_written() const = 0;
  // Whether the lane itself has ended or failed. If not, an error is about what the peer sent.
  virtual bool lost() const = 0;
  // Ends the lane, and with it all calls that wait.
  virtual void shut() = 0;
  virtual std::string peer() const = 0;
};

}  // namespace wherry
