// One connected endpoint of a fabric: messages in registered buffers both ways, writes into memory that the
// peer has named, and its end.
//
// The end comes from the event queue (the peer went), from the TCP connection beside it (adopt()), which the
// kernel watches, or from what was posted and does not complete within `silence`: a dead link shows on none
// of a device's queues. What is posted and done wakes nobody but who waits for it.
//
// write() and shut() come from any thread; take() and send() from one at a time, and next() from one. After
// an end all calls fail with its reason. The destructor may take a minute if the link is dead (the kernel
// waits for the device), so it is to be in nobody's way.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/event.h"
#include "transport/fabric/fabric_domain.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

class FabricConnection {
 public:
  // Of the buffers that this side sends from and receives into.
  struct Shape {
    size_t send_bytes = 0;
    size_t send_count = 0;
    size_t receive_bytes = 0;
    size_t receive_count = 0;
  };
  using Deadline = std::chrono::steady_clock::time_point;

  // A buffer of the connection's, with what the provider keeps in it meanwhile.
  struct Buffer {
    fi_context2 context{};  // first: completions name a buffer by it
    std::span<uint8_t> bytes;
    size_t sending = 0;
  };
  struct Event {
    Buffer* message = nullptr;  // of `length` bytes; to be given back by release(). Null: a write has landed
    size_t length = 0;
    uint32_t tag = 0;  // of the write
  };
  // What a write goes to.
  struct Target {
    uint64_t address = 0;
    uint64_t key = 0;
  };

  // Calls somebody who listens there; `hello` is what he knows the caller by.
  static Result<std::unique_ptr<FabricConnection>> connect(FabricDomains& domains, const fi_info& path,
                                                           const Shape& shape, std::span<const uint8_t> hello,
                                                           Deadline until);
  // Answers a call that came on those events (FabricListener).
  static Result<std::unique_ptr<FabricConnection>> answer(std::shared_ptr<FabricDomain> domain,
                                                          fi_info& caller, const Shape& shape,
                                                          fabric::Owned<fid_eq> events, Deadline until);
  ~FabricConnection();

  // Takes the TCP connection beside it, and from now on bounds how long anything posted may take.
  void adopt(std::unique_ptr<FrameSocket> socket, std::chrono::seconds silence);

  // A free buffer to send from; waits for one.
  Result<Buffer*> take();
  // Sends its first bytes. It is free again when they are there.
  Result<> send(Buffer* buffer, size_t length);
  // Writes registered pieces of memory, one after the other, to consecutive bytes of the peer's memory; the
  // last of a series tells him by `tag`. Each piece must stay as it is until idle() or the peer knows.
  Result<> write(std::span<const std::span<const uint8_t>> pieces, Target to, std::optional<uint32_t> tag);

  // What comes next; nothing if nothing did within `longest`.
  Result<std::optional<Event>> next(std::chrono::milliseconds longest);
  void release(Buffer* message);
  // The peer owes a write: counts as something posted.
  void owe(bool write);

  // Whether all that was posted is done.
  bool idle() const;
  // Whether nothing is under way, and nothing got through for a third of `silence`.
  bool quiet() const;
  Result<> wait_idle();
  void shut();
  bool ended() const;
  // Ends all access of the peer to this side's memory.
  void close_endpoint();

  FabricDomain& domain() const { return *domain_; }
  // How much of what was posted is not done.
  size_t bytes_waiting();
  const std::string& peer() const { return peer_; }

 private:
  struct Write {
    fi_context2 context{};
    size_t bytes = 0;
  };
  FabricConnection(std::shared_ptr<FabricDomain> domain, const fi_info& path, const Shape& shape);
  Result<> open(fi_info& path, fabric::Owned<fid_eq> events);
  Result<> wait_connected(Deadline until);
  Result<> post_receive(Buffer& buffer);
  template <class Post>
  Result<> post(size_t bytes, Post&& post);
  Result<bool> take_completions(fid_cq* queue);
  template <class Ready>
  Result<> wait_done(Ready&& ready);
  template <class Ready>
  Result<> look_for_done(Ready&& ready);
  Result<fabric::Owned<fid_cq>> open_completions() const;
  Result<> take_completion(const fi_cq_data_entry& entry);
  Result<> look_for_end();
  template <class Ready>
  void wait(fid_cq* queue, std::chrono::milliseconds longest, Ready&& ready);
  Write* take_write(size_t bytes);
  Error end(Error why);

  const std::shared_ptr<FabricDomain> domain_;
  const Shape shape_;
  const bool data_takes_receive_;  // a write that tells its tag uses up a posted receive
  const size_t longest_write_;
  const size_t most_pieces_;
  std::unique_ptr<FrameSocket> socket_;
  std::chrono::seconds silence_{0};
  std::string peer_;
  wherry::Event wake_;

  PageBytes memory_;  // of all buffers
  fabric::Owned<fid_mr> region_;
  fabric::Owned<fid_eq> events_;
  fabric::Owned<fid_cq> arrivals_;
  fabric::Owned<fid_cq> done_;  // of what was posted
  fabric::Owned<fid_ep> endpoint_;
  std::vector<Buffer> sends_;
  std::vector<Buffer> receives_;
  std::mutex reading_;  // of the completion queues
  std::mutex ending_;   // why it ended is asked once

  mutable std::mutex mutex_;  // guards what follows
  std::deque<Event> arrived_;
  bool owed_ = false;
  std::vector<Buffer*> free_;
  std::optional<Error> ended_;
  std::deque<Write> writes_;
  std::vector<Write*> free_writes_;
  size_t posted_ = 0;  // operations that are not done
  std::chrono::steady_clock::time_point progress_;
  std::atomic<size_t> waiting_bytes_ = 0;
};

}  // namespace wherry
