// Frames over a stream socket: what a TCP lane and the control connection have in common.
//
// One thread at a time can send, and one receive. shut() and await_end() are thread-safe.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/mutex.h"
#include "base/result.h"
#include "transport/wire/frame.h"

namespace wherry {

class FrameSocket {
 public:
  FrameSocket(Fd socket, std::string peer);

  // Sends a frame. Fills in the lengths and sums of the header.
  Result<> send(FrameHeader header, std::span<const uint8_t> table,
                std::span<const std::span<const uint8_t>> body);
  Result<> send(FrameHeader header, std::span<const uint8_t> body = {});

  // Answers the first frame of a connection with a refusal, and ends the connection.
  void refuse(const std::string& why);

  // Receives header and table and checks them; false at the orderly end of the stream.
  Result<bool> receive_head(FrameHead& head);
  // Receives the body of the frame whose head came last, and checks it.
  Result<> receive_body(std::span<iovec> where);
  Result<std::vector<uint8_t>> receive_body();

  // Whether the last call to receive found that the connection has ended or failed. If not, its error is
  // about what came over the connection.
  bool lost() const { return lost_; }
  // Waits until the connection has ended or failed, also by shut(). Returns the reason.
  Error await_end();

  // From now on, bounds each wait for bytes. 0: no bound.
  void set_patience(std::chrono::milliseconds longest);
  void shut();
  uint64_t bytes_sent() const { return bytes_sent_; }
  const std::string& peer() const { return peer_; }
  int fd() const { return socket_.get(); }

 private:
  Result<bool> receive(std::span<iovec> pieces);
  // The kernel reports a failure once, to the first call that asks. Later calls get another error, or none.
  // Keeps the first, and returns it.
  std::string cause(const std::string& told);
  // Keeps `told` if it is the first, with what else the kernel knows.
  void tell(const std::string& told) WHERRY_REQUIRES(telling_);

  Fd socket_;
  const std::string peer_;
  std::atomic<uint64_t> bytes_sent_ = 0;
  std::vector<iovec> pieces_;
  Checksum send_sum_;
  Checksum receive_sum_;
  FrameHeader received_;
  bool lost_ = false;
  Mutex telling_;
  Condition told_;
  std::string cause_ WHERRY_GUARDED_BY(telling_);
  bool shut_ WHERRY_GUARDED_BY(telling_) = false;
};

}  // namespace wherry
