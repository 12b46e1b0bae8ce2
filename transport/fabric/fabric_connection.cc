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

// One look for what is done: threads that wait for it may take each other's sign, and a provider may be out
// of something else than room.
constexpr std::chrono::milliseconds kRetry{5};
// Completions that may wait to be read.
constexpr size_t kCompletions = 1024;

int wait_fd(fid& queue) {
  int fd = -1;
  return fi_control(&queue, FI_GETWAIT, &fd) == 0 ? fd : -1;
}

}  // namespace

FabricConnection::FabricConnection(std::shared_ptr<FabricDomain> domain, const fi_info& path,
                                   const Shape& shape)
    : domain_(std::move(domain)),
      shape_(shape),
      data_takes_receive_((path.mode | path.rx_attr->mode) & FI_RX_CQ_DATA),
      longest_write_(std::min<size_t>(path.ep_attr->max_msg_size, size_t{8} << 20)),
      most_pieces_(std::max<size_t>(path.tx_attr->iov_limit, 1)),
      peer_(fabric::device(path)),
      memory_(shape.send_bytes * shape.send_count + shape.receive_bytes * shape.receive_count),
      sends_(shape.send_count),
      receives_(shape.receive_count),
      progress_(Clock::now()) {
  const std::span<uint8_t> all(memory_);
  size_t at = 0;
  const auto give = [&](std::vector<Buffer>& buffers, size_t bytes) {
    for (Buffer& buffer : buffers) {
      buffer.bytes = all.subspan(at, bytes);
      at += bytes;
    }
  };
  give(sends_, shape.send_bytes);
  give(receives_, shape.receive_bytes);
  for (Buffer& buffer : sends_) free_.push_back(&buffer);
}

FabricConnection::~FabricConnection() {
  close_endpoint();
}

Result<fabric::Owned<fid_cq>> FabricConnection::open_completions() const {
  fi_cq_attr attributes{};
  attributes.size = kCompletions;
  attributes.format = FI_CQ_FORMAT_DATA;
  attributes.wait_obj = FI_WAIT_FD;
  return fabric::make<fid_cq>("opening a completion queue", [&](fid_cq** object) {
    return fi_cq_open(domain_->get(), &attributes, object, nullptr);
  });
}

Result<> FabricConnection::open(fi_info& path, fabric::Owned<fid_eq> events) {
  if (const int error = wake_.error()) return fail("cannot make an event: {}", reason(error));
  events_ = std::move(events);
  auto region = domain_->register_memory(memory_, FabricDomain::Use::buffers);
  if (!region) return pass_on(region);
  region_ = std::move(*region);
  for (fabric::Owned<fid_cq>* queue : {&arrivals_, &done_}) {
    auto opened = open_completions();
    if (!opened) return pass_on(opened);
    *queue = std::move(*opened);
  }
  auto endpoint = fabric::make<fid_ep>("opening the endpoint", [&](fid_ep** object) {
    return fi_endpoint(domain_->get(), &path, object, nullptr);
  });
  if (!endpoint) return pass_on(endpoint);
  endpoint_ = std::move(*endpoint);
  int code = fi_ep_bind(endpoint_.get(), &events_->fid, 0);
  if (code == 0) code = fi_ep_bind(endpoint_.get(), &arrivals_->fid, FI_RECV);
  if (code == 0) code = fi_ep_bind(endpoint_.get(), &done_->fid, FI_TRANSMIT);
  if (code == 0) code = fi_enable(endpoint_.get());
  if (code != 0) return fail("preparing the endpoint: {}", fabric::reason(code));
  for (Buffer& buffer : receives_) {
    if (auto posted = post_receive(buffer); !posted) return posted;
  }
  return {};
}

Result<> FabricConnection::wait_connected(Deadline until) {
  while (Clock::now() < until) {
    auto event = fabric::next_event(events_.get(), fabric::kEventLook);
    if (!event) return pass_on(event);
    if (!*event) continue;
    if ((*event)->kind == FI_CONNECTED) return {};
    return fail("the connection ended before it was made");
  }
  return fail("no answer to the connection request");
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
  const int code = fi_connect(connection->endpoint_.get(), path.dest_addr, hello.data(), hello.size());
  if (code != 0) return fail("connecting: {}", fabric::reason(code));
  if (auto connected = connection->wait_connected(until); !connected) return pass_on(connected);
  return connection;
}

Result<std::unique_ptr<FabricConnection>> FabricConnection::answer(std::shared_ptr<FabricDomain> domain,
                                                                   fi_info& caller, const Shape& shape,
                                                                   fabric::Owned<fid_eq> events,
                                                                   Deadline until) {
  std::unique_ptr<FabricConnection> connection(new FabricConnection(std::move(domain), caller, shape));
  if (auto opened = connection->open(caller, std::move(events)); !opened) return pass_on(opened);
  if (const int code = fi_accept(connection->endpoint_.get(), nullptr, 0); code != 0)
    return fail("accepting: {}", fabric::reason(code));
  if (auto connected = connection->wait_connected(until); !connected) return pass_on(connected);
  return connection;
}

void FabricConnection::adopt(std::unique_ptr<FrameSocket> socket, std::chrono::seconds silence) {
  socket_ = std::move(socket);
  silence_ = silence;
  peer_ = fmt::format("{} ({})", socket_->peer(), peer_);
}

Result<> FabricConnection::post_receive(Buffer& buffer) {
  const auto reach = domain_->reach(*region_, memory_, buffer.bytes.data());
  const ssize_t code = fi_recv(endpoint_.get(), buffer.bytes.data(), buffer.bytes.size(), reach.descriptor,
                               FI_ADDR_UNSPEC, &buffer.context);
  if (code != 0) return fail("posting a receive: {}", fabric::reason(code));
  return {};
}

Result<FabricConnection::Buffer*> FabricConnection::take() {
  if (auto done = wait_done([this] { return !free_.empty(); }); !done) return pass_on(done);
  std::lock_guard lock(mutex_);
  Buffer* const buffer = free_.back();
  free_.pop_back();
  return buffer;
}

// Until `ready`, which is called with the lock held, or an end.
template <class Ready>
Result<> FabricConnection::wait_done(Ready&& ready) {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (ended_) return tl::make_unexpected(*ended_);
      if (ready()) return {};
    }
    if (auto looked = look_for_done(ready); !looked) return looked;
  }
}

// Takes what is done; if nothing is, waits a little for it, for what `ready` says, or an end.
template <class Ready>
Result<> FabricConnection::look_for_done(Ready&& ready) {
  auto taken = take_completions(done_.get());
  if (!taken) return pass_on(taken);
  if (*taken) return {};
  if (auto going = look_for_end(); !going) return going;
  wait(done_.get(), kRetry, [&] { return ended_ || ready(); });
  return {};
}

// Posts an operation as soon as the queue has room for it.
template <class Post>
Result<> FabricConnection::post(size_t bytes, Post&& post) {
  for (;;) {
    size_t before = 0;
    {
      std::unique_lock lock(mutex_);
      if (ended_) return tl::make_unexpected(*ended_);
      const ssize_t code = post();
      if (code == 0) {
        if (posted_++ == 0) progress_ = Clock::now();
        waiting_bytes_ += bytes;
        return {};
      }
      if (code != -FI_EAGAIN) {
        lock.unlock();
        return tl::make_unexpected(end({fmt::format("{}: {}", peer_, fabric::reason(code))}));
      }
      before = posted_;
    }
    if (auto looked = look_for_done([&] { return posted_ < before; }); !looked) return looked;
  }
}

Result<> FabricConnection::send(Buffer* buffer, size_t length) {
  const auto reach = domain_->reach(*region_, memory_, buffer->bytes.data());
  buffer->sending = length;
  return post(length, [&] {
    return fi_send(endpoint_.get(), buffer->bytes.data(), length, reach.descriptor, FI_ADDR_UNSPEC,
                   &buffer->context);
  });
}

Result<> FabricConnection::write(std::span<const std::span<const uint8_t>> pieces, Target to,
                                 std::optional<uint32_t> tag) {
  std::vector<iovec> from;
  std::vector<void*> descriptors;
  size_t bytes = 0;
  const auto flush = [&](bool last) -> Result<> {
    fi_rma_iov target{to.address, bytes, to.key};
    fi_msg_rma message{};
    message.msg_iov = from.data();
    message.desc = descriptors.data();
    message.iov_count = from.size();
    message.rma_iov = &target;
    message.rma_iov_count = 1;
    message.data = tag.value_or(0);
    const bool tells = last && tag;
    Write* write = nullptr;
    auto posted = post(bytes, [&] {
      if (!write) write = take_write(bytes);
      message.context = &write->context;
      return fi_writemsg(endpoint_.get(), &message, FI_COMPLETION | (tells ? FI_REMOTE_CQ_DATA : 0));
    });
    to.address += bytes;
    from.clear();
    descriptors.clear();
    bytes = 0;
    return posted;
  };
  for (size_t i = 0; i < pieces.size(); ++i) {
    auto reach = domain_->own(pieces[i]);
    if (!reach) return tl::make_unexpected(end(std::move(reach.error())));
    from.push_back(wherry::piece(pieces[i]));
    descriptors.push_back(reach->descriptor);
    bytes += pieces[i].size();
    const bool last = i + 1 == pieces.size();
    if (!last && from.size() < most_pieces_ && bytes + pieces[i + 1].size() <= longest_write_) continue;
    if (auto written = flush(last); !written) return written;
  }
  return {};
}

// Called with the lock held.
FabricConnection::Write* FabricConnection::take_write(size_t bytes) {
  if (free_writes_.empty()) free_writes_.push_back(&writes_.emplace_back());
  Write* const write = free_writes_.back();
  free_writes_.pop_back();
  write->bytes = bytes;
  return write;
}

// Whether there were any.
Result<bool> FabricConnection::take_completions(fid_cq* queue) {
  std::lock_guard reading(reading_);
  if (!endpoint_) return tl::make_unexpected(end({}));
  std::array<fi_cq_data_entry, 16> entries{};
  const ssize_t got = fi_cq_read(queue, entries.data(), entries.size());
  if (got == -FI_EAGAIN) return false;
  if (got == -FI_EAVAIL) {
    fi_cq_err_entry error{};
    fi_cq_readerr(queue, &error, 0);
    // What is posted when an endpoint goes is cancelled; the reason is on the event queue, if any.
    if (error.err == FI_ECANCELED) {
      if (auto end = look_for_end(); !end) return pass_on(end);
    }
    return tl::make_unexpected(end({fmt::format("{}: {}", peer_, fabric::reason(-error.err))}));
  }
  if (got < 0) return tl::make_unexpected(end({fmt::format("{}: {}", peer_, fabric::reason(got))}));
  for (const fi_cq_data_entry& entry : std::span(entries).first(static_cast<size_t>(got))) {
    if (auto taken = take_completion(entry); !taken) return pass_on(taken);
  }
  return true;
}

Result<> FabricConnection::take_completion(const fi_cq_data_entry& entry) {
  const auto find = [&](std::vector<Buffer>& buffers) -> Buffer* {
    auto* const buffer = static_cast<Buffer*>(entry.op_context);
    const bool one = !buffers.empty() && buffer >= &buffers.front() && buffer <= &buffers.back();
    return one ? buffer : nullptr;
  };
  if (entry.flags & FI_REMOTE_CQ_DATA) {
    if (Buffer* used = find(receives_); used && data_takes_receive_) {
      if (auto posted = post_receive(*used); !posted) return posted;
    }
    std::lock_guard lock(mutex_);
    progress_ = Clock::now();
    arrived_.push_back({.message = nullptr, .length = 0, .tag = static_cast<uint32_t>(entry.data)});
  } else if (Buffer* message = find(receives_)) {
    std::lock_guard lock(mutex_);
    progress_ = Clock::now();
    arrived_.push_back({.message = message, .length = entry.len, .tag = 0});
  } else {
    std::lock_guard lock(mutex_);
    progress_ = Clock::now();
    --posted_;
    if (Buffer* sent = find(sends_)) {
      waiting_bytes_ -= sent->sending;
      free_.push_back(sent);
    } else {
      auto* const write = static_cast<Write*>(entry.op_context);
      waiting_bytes_ -= write->bytes;
      free_writes_.push_back(write);
    }
  }
  return {};
}

Result<> FabricConnection::look_for_end() {
  std::lock_guard ending(ending_);
  if (std::lock_guard lock(mutex_); ended_) return tl::make_unexpected(*ended_);
  auto event = fabric::next_event(events_.get(), std::chrono::milliseconds(0));
  if (!event) return tl::make_unexpected(end({fmt::format("{}: {}", peer_, event.error().message)}));
  if (*event && (*event)->kind == FI_SHUTDOWN) {
    return tl::make_unexpected(end({fmt::format("the connection to {} was closed", peer_)}));
  }
  if (socket_) {
    pollfd beside{socket_->fd(), POLLRDHUP, 0};
    if (::poll(&beside, 1, 0) > 0) return tl::make_unexpected(end(socket_->await_end()));
  }
  std::unique_lock lock(mutex_);
  if (silence_.count() > 0 && (posted_ > 0 || owed_) && Clock::now() - progress_ > silence_) {
    lock.unlock();
    return tl::make_unexpected(
        end({fmt::format("{}: nothing got through for {} seconds", peer_, silence_.count())}));
  }
  if (ended_) return tl::make_unexpected(*ended_);
  return {};
}

// For anything on that queue, an end, or what `ready` says, which is called with the lock held.
template <class Ready>
void FabricConnection::wait(fid_cq* queue, std::chrono::milliseconds longest, Ready&& ready) {
  std::array<fid*, 2> queues{&queue->fid, &events_->fid};
  if (fi_trywait(domain_->fabric(), queues.data(), queues.size()) != 0) return;
  {
    // Another thread may have emptied the queue before it was told to say that something comes.
    std::lock_guard lock(mutex_);
    if (ready()) return;
  }
  std::array<pollfd, 4> signs{
      pollfd{wake_.fd(), POLLIN, 0}, pollfd{socket_ ? socket_->fd() : -1, POLLRDHUP, 0},
      pollfd{wait_fd(queue->fid), POLLIN, 0}, pollfd{wait_fd(events_->fid), POLLIN, 0}};
  (void)::poll(signs.data(), signs.size(), static_cast<int>(longest.count()));
}

Result<std::optional<FabricConnection::Event>> FabricConnection::next(std::chrono::milliseconds longest) {
  const auto until = Clock::now() + longest;
  for (;;) {
    auto more = take_completions(arrivals_.get());
    {
      std::lock_guard lock(mutex_);
      if (!arrived_.empty()) {
        const Event event = arrived_.front();
        arrived_.pop_front();
        return event;
      }
    }
    if (!more) return pass_on(more);
    if (*more) continue;
    // What was done and waits for nobody is no sign of a dead link.
    if (auto done = take_completions(done_.get()); !done) return pass_on(done);
    if (auto going = look_for_end(); !going) {
      // What came before the end may have become visible only now.
      (void)take_completions(arrivals_.get());
      std::lock_guard lock(mutex_);
      if (arrived_.empty()) return pass_on(going);
      continue;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) return std::nullopt;
    wait(arrivals_.get(), std::min(left, fabric::kEventLook), [this] { return ended_ || !arrived_.empty(); });
  }
}

void FabricConnection::release(Buffer* message) {
  std::lock_guard reading(reading_);
  // If that fails, the connection has ended, which next() finds.
  if (endpoint_) (void)post_receive(*message);
}

void FabricConnection::owe(bool write) {
  std::lock_guard lock(mutex_);
  if (write) progress_ = Clock::now();
  owed_ = write;
}

bool FabricConnection::idle() const {
  std::lock_guard lock(mutex_);
  return posted_ == 0;
}

bool FabricConnection::quiet() const {
  std::lock_guard lock(mutex_);
  return silence_.count() > 0 && posted_ == 0 && !owed_ && Clock::now() - progress_ > silence_ / 3.0;
}

bool FabricConnection::ended() const {
  std::lock_guard lock(mutex_);
  return ended_.has_value();
}

Result<> FabricConnection::wait_idle() {
  return wait_done([this] { return posted_ == 0; });
}

size_t FabricConnection::bytes_waiting() {
  while (waiting_bytes_ > 0) {
    auto taken = take_completions(done_.get());
    if (!taken || !*taken) break;
  }
  return waiting_bytes_;
}

Error FabricConnection::end(Error why) {
  std::lock_guard lock(mutex_);
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
  std::lock_guard reading(reading_);
  if (!endpoint_) return;
  fi_shutdown(endpoint_.get(), 0);
  endpoint_.reset();
}

}  // namespace wherry
