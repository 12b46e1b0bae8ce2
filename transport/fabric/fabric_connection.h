// A connection over a fabric: messages in registered buffers both ways, writes into memory that the peer has
// named, and the connection's end.
//
// The end shows on the event queue (the peer has gone), on the TCP connection beside it (adopt()), which the
// kernel watches, or by time: a posted operation is not done within `silence`. A dead link shows only by
// time, on none of a device's queues. An operation that is done wakes only threads that wait for operations,
// not the one in next().
//
// next() is called by one thread at a time; everything else can be called by any thread once adopt() has
// returned. After the end all calls fail with its reason. The destructor can take a minute if the link is
// dead, because the kernel waits for the device: destroy it where nothing waits for that.
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

  // A message that has come; move-only. When it is destroyed, its buffer receives again. It must not outlive
  // the connection.
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
    Message message;   // empty: the event is a write of the peer that has landed
    uint32_t tag = 0;  // of the write, if it is one
  };

  // Calls a listener. It recognizes the caller by `hello`.
  static Result<std::unique_ptr<FabricConnection>> connect(FabricDomains& domains, const fi_info& path,
                                                           const Shape& shape, std::span<const uint8_t> hello,
                                                           Deadline until);
  // Answers a call that has come on `events` (FabricListener).
  static Result<std::unique_ptr<FabricConnection>> answer(std::shared_ptr<FabricDomain> domain,
                                                          fi_info& caller, const Shape& shape,
                                                          fabric::Owned<fid_eq> events, Deadline until);
  ~FabricConnection();

  // Takes the TCP connection beside it. From now on the connection ends if a posted operation takes longer
  // than `silence`.
  void adopt(std::unique_ptr<FrameSocket> socket, std::chrono::seconds silence);

  // Sends a message. Waits for a free buffer of Shape::send_bytes. `write` writes the message to it, and
  // returns its length.
  Result<> send(const std::function<size_t(std::span<uint8_t>)>& write);
  // Writes registered pieces of memory, one after the other, to consecutive bytes of the peer's memory. If
  // there is a `tag`, the peer gets it when the last piece has landed. Each piece must stay unchanged until
  // idle(), or until the peer has said that it is there.
  Result<> write(std::span<const std::span<const uint8_t>> pieces, Target to, std::optional<uint32_t> tag);

  // The next event; nothing if none came within `longest`.
  Result<std::optional<Event>> next(std::chrono::milliseconds longest);
  // Says whether the peer owes a write. If it does, that counts as a posted operation.
  void owe(bool write);

  // Whether all posted operations are done.
  bool idle() const;
  // Whether all posted operations are done, and nothing got through for a third of `silence`.
  bool quiet() const;
  Result<> wait_idle();
  // Ends the connection.
  void shut();
  bool ended() const;
  // Ends the connection, and all access of the peer to this side's memory. Can take a minute if the link is
  // dead.
  void close_endpoint();

  FabricDomain& domain() const { return *domain_; }
  // Bytes of posted operations that are not done.
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
  wherry::Event wake_;                   // wakes threads that wait when the connection has ended
  FabricBuffers buffers_;
  FabricEndpoint endpoint_;

  // Locks are taken in this order: reading_, ending_, mutex_. The endpoint is closed under reading_, after
  // ended_ was set. So an operation is posted under reading_, or under mutex_ while ended_ is not set.
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
