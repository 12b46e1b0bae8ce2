#include "transport/fabric/fabric_connection.h"

#include <poll.h>

#include <algorithm>
#include <array>

#include "base/errno.h"
#include "transport/fabric/fabric_events.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;

// How long one wait for completions can take. It is short, because another thread may have taken the
// completion that was waited for, and a provider that refuses an operation may lack something other than room
// in its queue.
constexpr std::chrono::milliseconds kRetry{5};

}  // namespace

FabricConnection::FabricConnection(std::shared_ptr<FabricDomain> domain, const fi_info& path,
                                   const Shape& shape)
    : domain_(std::move(domain)),
      peer_(fabric::device(path)),
      buffers_(shape),
      endpoint_(path),
      progress_(Clock::now()) {}

FabricConnection::~FabricConnection() {
  close_endpoint();
}

Result<> FabricConnection::open(fi_info& path, fabric::Owned<fid_eq> events) {
  if (const int error = wake_.error()) return fail("cannot make an event: {}", reason(error));
  if (auto registered = buffers_.open(*domain_); !registered) return registered;
  if (auto opened = endpoint_.open(*domain_, path, std::move(events)); !opened) return opened;
  for (Buffer& buffer : buffers_.receives()) {
    if (auto posted = post_receive(buffer); !posted) return posted;
  }
  return {};
}

Result<std::unique_ptr<FabricConnection>> FabricConnection::connect(FabricDomains& domains,
                                                                    const fi_info& path, const Shape& shape,
                                                                    std::span<const uint8_t> hello,
                                                                    Deadline until) {
  auto domain = domains.get(path);
  if (!domain) return pass_on(domain);
  auto events = fabric::open_events((*domain)->fabric());
  if (!events) return pass_on(events);
  std::unique_ptr<FabricConnection> connection(new FabricConnection(std::move(*domain), path, shape));
  auto& info = const_cast<fi_info&>(path);  // libfabric's functions only read it
  if (auto opened = connection->open(info, std::move(*events)); !opened) return pass_on(opened);
  auto connected = connection->endpoint_.connect(path, hello, until);
  if (!connected) return pass_on(connected);
  return connection;
}

Result<std::unique_ptr<FabricConnection>> FabricConnection::answer(std::shared_ptr<FabricDomain> domain,
                                                                   fi_info& caller, const Shape& shape,
                                                                   fabric::Owned<fid_eq> events,
                                                                   Deadline until) {
  std::unique_ptr<FabricConnection> connection(new FabricConnection(std::move(domain), caller, shape));
  if (auto opened = connection->open(caller, std::move(events)); !opened) return pass_on(opened);
  if (auto connected = connection->endpoint_.accept(until); !connected) return pass_on(connected);
  return connection;
}

void FabricConnection::adopt(std::unique_ptr<FrameSocket> socket, std::chrono::seconds silence) {
  socket_ = std::move(socket);
  peer_ = fmt::format("{} ({})", socket_->peer(), peer_);
  Lock lock(mutex_);
  progress_.bound(silence);
}

Result<> FabricConnection::post_receive(Buffer& buffer) {
  const ssize_t code = endpoint_.post_receive(buffer.bytes, buffers_.descriptor(), buffer.context);
  if (code != 0) return fail("posting a receive: {}", fabric::reason(code));
  return {};
}

void FabricConnection::receive_again(Buffer& buffer) {
  Lock reading(reading_);
  // If that fails, the connection has ended, and next() notices that.
  if (endpoint_.is_open()) (void)post_receive(buffer);
}

// Waits until `ready` returns true or the connection ends. `ready` is called with the lock held.
template <class Ready>
Result<> FabricConnection::wait_done(Ready&& ready) {
  for (;;) {
    {
      Lock lock(mutex_);
      if (ended_) return tl::make_unexpected(*ended_);
      if (ready()) return {};
    }
    if (auto looked = look_for_done(ready); !looked) return looked;
  }
}

// Takes completions of operations. If there are none, waits a short time for one, for `ready`, or for the
// end.
template <class Ready>
Result<> FabricConnection::look_for_done(Ready&& ready) {
  auto taken = take_completions(Queue::done);
  if (!taken) return pass_on(taken);
  if (*taken) return {};
  if (auto going = look_for_end(); !going) return going;
  wait(Queue::done, kRetry, [&]() WHERRY_REQUIRES(mutex_) { return ended_ || ready(); });
  return {};
}

// Posts an operation as soon as the queue has room for it. `post` is called with the lock held.
template <class Post>
Result<> FabricConnection::post(size_t bytes, Post&& post) {
  for (;;) {
    size_t before = 0;
    {
      Lock lock(mutex_);
      if (ended_) return tl::make_unexpected(*ended_);
      const ssize_t code = post();
      if (code == 0) {
        progress_.posted(bytes, Clock::now());
        return {};
      }
      if (code != -FI_EAGAIN) {
        lock.unlock();
        return tl::make_unexpected(end({fmt::format("{}: {}", peer_, fabric::reason(code))}));
      }
      before = progress_.operations();
    }
    const auto has_room = [&]() WHERRY_REQUIRES(mutex_) { return progress_.operations() < before; };
    if (auto looked = look_for_done(has_room); !looked) return looked;
  }
}

Result<> FabricConnection::send(const std::function<size_t(std::span<uint8_t>)>& write) {
  Buffer* buffer = nullptr;
  auto taken = wait_done([&] { return buffer || (buffer = buffers_.take()); });
  if (!taken) return taken;
  buffer->sending = write(buffer->bytes);
  const auto message = buffer->bytes.first(buffer->sending);
  return post(buffer->sending,
              [&] { return endpoint_.post_send(message, buffers_.descriptor(), buffer->context); });
}

Result<> FabricConnection::write(std::span<const std::span<const uint8_t>> pieces, Target to,
                                 std::optional<uint32_t> tag) {
  FabricEndpoint::Gather part;
  for (size_t i = 0; i < pieces.size(); ++i) {
    auto reach = domain_->own(pieces[i]);
    if (!reach) return tl::make_unexpected(end(std::move(reach.error())));
    part.pieces.push_back(piece(pieces[i]));
    part.descriptors.push_back(reach->descriptor);
    part.bytes += pieces[i].size();
    const bool last = i + 1 == pieces.size();
    if (!last && endpoint_.has_room(part, pieces[i + 1].size())) continue;
    if (auto written = post_write(part, to, last ? tag : std::nullopt); !written) return written;
    to.address += part.bytes;
    part.pieces.clear();
    part.descriptors.clear();
    part.bytes = 0;
  }
  return {};
}

Result<> FabricConnection::post_write(const FabricEndpoint::Gather& from, Target to,
                                      std::optional<uint32_t> tag) {
  Write* write = nullptr;
  return post(from.bytes, [&]() WHERRY_REQUIRES(mutex_) {
    if (!write) write = take_write(from.bytes);
    return endpoint_.post_write(from, to, tag, write->context);
  });
}

FabricConnection::Write* FabricConnection::take_write(size_t bytes) {
  if (free_writes_.empty()) free_writes_.push_back(&writes_.emplace_back());
  Write* const write = free_writes_.back();
  free_writes_.pop_back();
  write->bytes = bytes;
  return write;
}

// Returns whether there were any.
Result<bool> FabricConnection::take_completions(Queue queue) {
  Lock reading(reading_);
  if (!endpoint_.is_open()) return tl::make_unexpected(end({}));
  std::array<fi_cq_data_entry, 16> entries{};
  ssize_t got = endpoint_.read(queue, entries);
  if (got == -FI_EAGAIN) return false;
  if (got == -FI_EAVAIL) {
    got = endpoint_.read_error(queue);
    // Operations are cancelled when their endpoint ends. The reason is on the event queue, if there is one.
    if (got == -FI_ECANCELED) {
      if (auto going = look_for_end(); !going) return pass_on(going);
    }
    return tl::make_unexpected(end({fmt::format("{}: {}", peer_, fabric::reason(got))}));
  }
  if (got < 0) return tl::make_unexpected(end({fmt::format("{}: {}", peer_, fabric::reason(got))}));
  for (const fi_cq_data_entry& entry : std::span(entries).first(static_cast<size_t>(got))) {
    if (auto taken = take_completion(entry); !taken) return pass_on(taken);
  }
  return true;
}

Result<> FabricConnection::take_completion(const fi_cq_data_entry& entry) {
  Buffer* const received = buffers_.received(entry.op_context);
  if (entry.flags & FI_REMOTE_CQ_DATA) {
    if (received && endpoint_.data_takes_receive()) {
      if (auto posted = post_receive(*received); !posted) return posted;
    }
    Lock lock(mutex_);
    progress_.arrived(Clock::now());
    arrived_.push_back({.message = nullptr, .length = 0, .tag = static_cast<uint32_t>(entry.data)});
    return {};
  }
  Lock lock(mutex_);
  if (received) {
    progress_.arrived(Clock::now());
    arrived_.push_back({.message = received, .length = entry.len, .tag = 0});
  } else if (Buffer* const sent = buffers_.sent(entry.op_context)) {
    progress_.done(sent->sending, Clock::now());
    buffers_.give_back(sent);
  } else {
    auto* const write = static_cast<Write*>(entry.op_context);
    progress_.done(write->bytes, Clock::now());
    free_writes_.push_back(write);
  }
  return {};
}

Result<> FabricConnection::look_for_end() {
  Lock ending(ending_);
  if (Lock lock(mutex_); ended_) return tl::make_unexpected(*ended_);
  auto event = endpoint_.next_event();
  if (!event) return tl::make_unexpected(end({fmt::format("{}: {}", peer_, event.error().message)}));
  if (*event && (*event)->kind == FI_SHUTDOWN) {
    return tl::make_unexpected(end({fmt::format("the connection to {} was closed", peer_)}));
  }
  if (socket_) {
    pollfd beside{socket_->fd(), POLLRDHUP, 0};
    if (::poll(&beside, 1, 0) > 0) return tl::make_unexpected(end(socket_->await_end()));
  }
  Lock lock(mutex_);
  if (progress_.stalled(Clock::now())) {
    const std::chrono::seconds silence = progress_.silence();
    lock.unlock();
    return tl::make_unexpected(
        end({fmt::format("{}: nothing got through for {} seconds", peer_, silence.count())}));
  }
  if (ended_) return tl::make_unexpected(*ended_);
  return {};
}

// Waits until anything comes on that queue, the connection ends, or `ready` returns true, at most `longest`.
// `ready` is called with the lock held.
template <class Ready>
void FabricConnection::wait(Queue queue, std::chrono::milliseconds longest, Ready&& ready) {
  if (!endpoint_.may_sleep(queue)) return;
  {
    // Another thread may have emptied the queue before its descriptor was armed.
    Lock lock(mutex_);
    if (ready()) return;
  }
  endpoint_.sleep(queue, {pollfd{wake_.fd(), POLLIN, 0}, pollfd{socket_ ? socket_->fd() : -1, POLLRDHUP, 0}},
                  longest);
}

std::optional<FabricConnection::Event> FabricConnection::take_arrival() {
  Lock lock(mutex_);
  if (arrived_.empty()) return std::nullopt;
  const Arrival arrival = arrived_.front();
  arrived_.pop_front();
  return Event{Message(this, arrival.message, arrival.length), arrival.tag};
}

Result<std::optional<FabricConnection::Event>> FabricConnection::next(std::chrono::milliseconds longest) {
  const auto until = Clock::now() + longest;
  for (;;) {
    auto more = take_completions(Queue::arrivals);
    if (auto event = take_arrival()) return event;
    if (!more) return pass_on(more);
    if (*more) continue;
    // Completions that no thread waits for have to be taken too, or the link would look dead.
    if (auto done = take_completions(Queue::done); !done) return pass_on(done);
    if (auto going = look_for_end(); !going) {
      // What came before the end may have become visible only now.
      (void)take_completions(Queue::arrivals);
      if (auto event = take_arrival()) return event;
      return pass_on(going);
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) return std::nullopt;
    wait(Queue::arrivals, std::min(left, fabric::kEventLook),
         [this]() WHERRY_REQUIRES(mutex_) { return ended_ || !arrived_.empty(); });
  }
}

void FabricConnection::owe(bool write) {
  Lock lock(mutex_);
  progress_.owe(write, Clock::now());
}

bool FabricConnection::idle() const {
  Lock lock(mutex_);
  return progress_.operations() == 0;
}

bool FabricConnection::quiet() const {
  Lock lock(mutex_);
  return progress_.quiet(Clock::now());
}

bool FabricConnection::ended() const {
  Lock lock(mutex_);
  return ended_.has_value();
}

Result<> FabricConnection::wait_idle() {
  return wait_done([this]() WHERRY_REQUIRES(mutex_) { return progress_.operations() == 0; });
}

size_t FabricConnection::bytes_waiting() {
  for (;;) {
    size_t bytes = 0;
    {
      Lock lock(mutex_);
      bytes = progress_.bytes();
    }
    if (bytes == 0) return 0;
    auto taken = take_completions(Queue::done);
    if (!taken || !*taken) return bytes;
  }
}

Error FabricConnection::end(Error why) {
  Lock lock(mutex_);
  if (!ended_) ended_ = std::move(why);
  wake_.raise();
  return *ended_;
}

void FabricConnection::shut() {
  end({fmt::format("the connection to {} was closed", peer_)});
  if (socket_) socket_->shut();
}

void FabricConnection::close_endpoint() {
  end({fmt::format("the connection to {} was closed", peer_)});
  Lock reading(reading_);
  if (endpoint_.is_open()) endpoint_.close();
}

}  // namespace wherry
