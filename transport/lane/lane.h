// A lane: one network path from source to destination, as the session sees it. There are two kinds: over a
// TCP connection (tcp_lane.h), and over a connected endpoint of a fabric (fabric_lane_sender.h,
// fabric_lane_receiver.h). The interface allows for both: memory is attached before bodies are posted from
// it, posting is separate from completion, and a receiver says where a body goes when it knows the head.
//
// Threads. Of a sender, attach() comes first; then one thread, the lane's worker, calls post() and
// complete(), and another one calls await_end(), once, beside it: over a fabric, post() may wait for ever
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
  // Memory that bodies are going to be posted from, for as long as the lane lives.
  virtual Result<> attach(std::span<uint8_t> memory) = 0;
  // Hands one frame to the network; waits while there is no room. Lengths and checksums of the header are
  // filled in here. The memory of the body must stay as it is until the frame is acknowledged.
  virtual Result<> post(FrameHeader header, std::span<const uint8_t> table,
                        std::span<const std::span<const uint8_t>> body) = 0;
  // Waits until the network has taken all that was posted.
  virtual Result<> complete() = 0;
  // Ends the lane, and with it all calls that wait.
  virtual void shut() = 0;
  // Waits until the lane has ended, whoever ended it; says why. Over a fabric this is also the thread that
  // takes what the destination sends back.
  virtual Error await_end() = 0;
  // Bytes that were posted.
  virtual uint64_t bytes_sent() const = 0;
  // How many of them are known to wait for the network.
  virtual uint64_t bytes_waiting() const = 0;
  // How many of them are not known to have arrived at the peer's host.
  virtual uint64_t bytes_on_way() const = 0;
  virtual std::string peer() const = 0;
};

class LaneReceiver {
 public:
  enum class News {
    head,  // the head of a frame has come
    body,  // a body is there: of those under way, the one that land() was called for first
    end,   // the source has ended the lane in order
  };
  virtual ~LaneReceiver() = default;
  // Memory that bodies are likely to be landed in: slots, and RAM of the guest that pages are placed in. It
  // must outlive the lane.
  virtual void attach(std::span<uint8_t> memory) = 0;
  virtual void attach_guest(std::span<uint8_t> memory) = 0;
  // Waits for what comes next. `head` is checked.
  virtual Result<News> next(FrameHead& head) = 0;
  // Puts the body of that frame there; the lengths of the pieces add up to its body_length. Must follow each
  // head whose frame has a body. False: the body is under way, and a later next() says when it is there, in
  // the order of these calls. That happens only to a batch without a pack. After an error, a part of the body
  // may be there.
  virtual Result<bool> land(std::span<iovec> where) = 0;
  // After an error: nothing that was under way lands any more once this returns.
  virtual void settle() = 0;
  // Bytes of bodies that the peer wrote straight to where they belong, without this side's processor.
  virtual uint64_t bytes_written() const = 0;
  // Whether the lane itself has ended or failed. If it has not, an error is the peer's doing.
  virtual bool lost() const = 0;
  // Ends the lane, and with it all calls that wait.
  virtual void shut() = 0;
  virtual std::string peer() const = 0;
};

}  // namespace wherry
