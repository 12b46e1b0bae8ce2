// A lane: one network path from source to destination, as the session sees it. TCP implements it
// (tcp_lane.h), and so do the queue pairs of a fabric (fabric_lane.h): memory is attached before it is posted
// from, posting is apart from completion, and a receiver says where a body goes once it knows the head.
//
// Each half is used by one thread, its worker; only shut() and await_end() may come from another. Errors are
// final for the lane.
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
  // Hands one frame to the network; waits while there is no room. Lengths and sums of the header are filled
  // in here. The memory of the body must stay as it is until the frame is acknowledged.
  virtual Result<> post(FrameHeader header, std::span<const uint8_t> table,
                        std::span<const std::span<const uint8_t>> body) = 0;
  // Waits until the network has taken all that was posted.
  virtual Result<> complete() = 0;
  // Ends all calls, from any thread.
  virtual void shut() = 0;
  // Waits until the lane is at its end, whoever ended it; says why.
  virtual Error await_end() = 0;
  virtual uint64_t bytes_sent() const = 0;
  // How many of them wait for the network, as far as that is known.
  virtual uint64_t bytes_waiting() const = 0;
  // And how many have not arrived at the peer's host, or are not known to have.
  virtual uint64_t bytes_on_way() const = 0;
  virtual std::string peer() const = 0;
};

class LaneReceiver {
 public:
  enum class News {
    head,  // a frame's
    body,  // the one that has been on its way the longest is there
    end,   // the orderly one
  };
  virtual ~LaneReceiver() = default;
  // Memory that bodies are likely to be landed in: slots, and RAM of the guest that pages are placed in.
  // Calls may come from another thread; the memory outlives the lane.
  virtual void attach(std::span<uint8_t> memory) = 0;
  virtual void attach_guest(std::span<uint8_t> memory) = 0;
  // What comes next; `head` is checked.
  virtual Result<News> next(FrameHead& head) = 0;
  // Puts the body of that frame there; the pieces' lengths add up to its body_length. Must follow each head
  // whose frame has a body. False: it is on its way, which next() ends, in the order of these calls; only a
  // batch without a pack may be. An error may leave a part of the body behind.
  virtual Result<bool> land(std::span<iovec> where) = 0;
  // Behind an error: nothing that was on its way lands any more once this returns.
  virtual void settle() = 0;
  // Bytes of bodies that the peer has written straight to where they belong, past this side's processor.
  virtual uint64_t bytes_written() const = 0;
  // Whether the lane itself has ended or failed. If not, an error is the peer's doing.
  virtual bool lost() const = 0;
  virtual void shut() = 0;
  virtual std::string peer() const = 0;
};

}  // namespace wherry
