// A connection over a fabric: messages in registered buffers both ways, writes into memory that the peer has
// named, and the connection's end.
//
// The end shows on the event queue (the peer went), on the TCP connection beside it (adopt()), which the
// kernel watches, or in time: something that was posted is not done within `silence`, because a dead link
// shows on none of a device's queues. A thread that does not wait for what it posted is not woken when that
// is done.
//
// next() is called by one thread at a time; everything else may be called by any thread once adopt() has
// returned. After the end all calls fail with its reason. The destructor may take a minute if the link is
// dead (the kernel waits for the device), so it is to run where nobody waits for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/event.h"
#include "base/mutex.h"
#include "transport/fabric/fabric_buffers.h"
#include "transport/fabric/fabric_domain.h"
#include "transport/fabric/fabric_endpoint.h"
#include "transport/fabric/fabric_progress.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

class FabricConnection {
 public:
  using Shape = FabricBuffers::Shape;
  using Deadline = FabricEndpoint::Deadline;
  using Target = FabricEndpoint::Target;

  // A message that has come; move-only. When it goes, its buffer receives again. It must go before the
  // connection does.
  class Message {
   public:
    Message() = default;
    std::span<const uint8_t> bytes() const { return buffer_->bytes.first(length_); }
    explicit operator bool() const { return buffer_ != nullptr; }

   private:
    friend class FabricConnection;
    struct Release {
      FabricConnection* connection;
      void operator()(FabricBuffers::Buffer* buffer) const { connection->receive_again(*buffer); }
    };
    Message(FabricConnection* connection, FabricBuffers::Buffer* buffer, size_t length)
        : buffer_(buffer, Release{connection}), length_(length) {}
    std::unique_ptr<FabricBuffers::Buffer, Release> buffer_;
    size_t length_ = 0;
  };
  struct Event {
    Message message;   // none: a write of the peer's has landed
    uint32_t tag = 0;  // of that write
  };

  // Calls somebody who listens there. `hello` is what the listener knows the caller by.
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

  // Sends a message. `write` writes it to a buffer of Shape::send_bytes, for which this waits if all are in
  // use, and returns its length.
  Result<> send(const std::function<size_t(std::span<uint8_t>)>& write);
  // Writes registered pieces of memory, one after the other, to consecutive bytes of the peer's memory. With
  // `tag`, which the peer is told when the last of them has landed. Each piece must stay as it is until
  // idle(), or until the peer has said that it is there.
  Result<> write(std::span<const std::span<const uint8_t>> pieces, Target to, std::optional<uint32_t> tag);

  // What comes next; nothing if nothing did within `longest`.
  Result<std::optional<Event>> next(std::chrono::milliseconds longest);
  // Whether the peer owes a write. That counts as something posted.
  void owe(bool write);

  // Whether all that was posted is done.
  bool idle() const;
  // Whether all is done, and nothing got through for a third of `silence`.
  bool quiet() const;
  Result<> wait_idle();
  // Ends it; ended() from then on.
  void shut();
  bool ended() const;
  // Ends it, and all access of the peer to this side's memory. May take a minute if the link is dead.
  void close_endpoint();

  FabricDomain& domain() const { return *domain_; }
  // Bytes that were posted and are not done.
  size_t bytes_waiting();
  const std::string& peer() const { return peer_; }

 private:
  using Buffer = FabricBuffers::Buffer;
  using Queue = FabricEndpoint::Queue;
  struct Arrival {
    Buffer* message = nullptr;  // null: a write has landed
    size_t length = 0;          // of the message, in bytes
    uint32_t tag = 0;           // of the write
  };
  struct Write {
    fi_context2 context{};  // first: completions name a write by it
    size_t bytes = 0;
  };

  FabricConnection(std::shared_ptr<FabricDomain> domain, const fi_info& path, const Shape& shape);
  Result<> open(fi_info& path, fabric::Owned<fid_eq> events);
  Result<> post_receive(Buffer& buffer);
  void receive_again(Buffer& buffer);
  template <class Post>
  Result<> post(size_t bytes, Post&& post);
  Result<> post_write(const FabricEndpoint::Gather& from, Target to, std::optional<uint32_t> tag);
  Write* take_write(size_t bytes) WHERRY_REQUIRES(mutex_);
  Result<bool> take_completions(Queue queue);
  Result<> take_completion(const fi_cq_data_entry& entry) WHERRY_REQUIRES(reading_);
  std::optional<Event> take_arrival();
  template <class Ready>
  Result<> wait_done(Ready&& ready);
  template <class Ready>
  Result<> look_for_done(Ready&& ready);
  Result<> look_for_end();
  template <class Ready>
  void wait(Queue queue, std::chrono::milliseconds longest, Ready&& ready);
  Error end(Error why);

  const std::shared_ptr<FabricDomain> domain_;
  std::string peer_;
  std::unique_ptr<FrameSocket> socket_;  // the TCP connection beside this; null until adopt()
  wherry::Event wake_;                   // of threads that wait, when the connection has ended
  FabricBuffers buffers_;
  FabricEndpoint endpoint_;

  // Locks are taken in this order: reading_, ending_, mutex_. The endpoint is closed under reading_ and after
  // the end, so operations are posted under reading_, or under mutex_ before the end.
  Mutex reading_;        // of completions
  Mutex ending_;         // why it ended is asked once
  mutable Mutex mutex_;  // also for which buffers are free
  std::deque<Arrival> arrived_ WHERRY_GUARDED_BY(mutex_);
  FabricProgress progress_ WHERRY_GUARDED_BY(mutex_);
  std::optional<Error> ended_ WHERRY_GUARDED_BY(mutex_);
  std::deque<Write> writes_ WHERRY_GUARDED_BY(mutex_);
  std::vector<Write*> free_writes_ WHERRY_GUARDED_BY(mutex_);  // of `writes_`
};

}  // namespace wherry
