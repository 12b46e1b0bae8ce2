#include "qemu-glue/source/channel_reader.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/start_thread.h"
#include "base/wait_ready.h"
#include "qemu-glue/stream/formats.h"
#include "qemu-glue/stream/main_reader.h"
#include "qemu-glue/stream/multifd_reader.h"
#include "transport/socket/socket.h"

namespace wherry::qemu {
namespace {

// Between two looks whether a lane is free. QEMU writes some 32 KiB at a time; where the lanes have enough to
// do, its pages may wait for more: a large batch costs the lanes hardly more than a small one.
constexpr std::chrono::milliseconds kLanesBusy{1};

// Carries bytes that nobody here understands.
class OpaqueReader : public StreamReader {
 public:
  explicit OpaqueReader(StreamEvents& events) : events_(events) {}
  size_t read(std::span<uint8_t> bytes) override {
    events_.record(bytes);
    return bytes.size();
  }
  Want wants(std::span<const uint8_t>) const override { return {1, SIZE_MAX}; }

 private:
  StreamEvents& events_;
};

// The process that wrote the byte that waits: libvirt may have made the connection that QEMU writes to. If
// QEMU connected itself and wrote before SO_PASSCRED was set, it is the process that connected. 0: it is not
// a unix socket.
pid_t writer_of(int connection) {
  char byte = 0;
  iovec piece{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ucred writer{};
  if (::recvmsg(connection, &message, MSG_PEEK) > 0) {
    const cmsghdr* told = CMSG_FIRSTHDR(&message);
    if (told && told->cmsg_level == SOL_SOCKET && told->cmsg_type == SCM_CREDENTIALS)
      std::memcpy(&writer, CMSG_DATA(told), sizeof writer);
  }
  socklen_t size = sizeof writer;
  if (writer.pid <= 0) ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &writer, &size);
  return writer.pid;
}

void tell_writers(int connection, int whether) {
  ::setsockopt(connection, SOL_SOCKET, SO_PASSCRED, &whether, sizeof whether);
}

}  // namespace

ChannelReader::ChannelReader(Carries carries, Fd connection, SourceSession& session, SourceGuest& guest,
                             Failure& failure, std::function<void()> ended)
    : carries_(carries),
      connection_(std::move(connection)),
      session_(session),
      guest_(guest),
      on_end_(std::move(ended)),
      way_back_(connection_.get(), [&failure](Error why) { failure.fail(std::move(why)); }) {}

ChannelReader::~ChannelReader() {
  if (thread_.joinable()) thread_.join();
}

Result<> ChannelReader::start() {
  tell_writers(connection_.get(), 1);
  if (auto started = way_back_.start(); !started) return started;
  auto reads = start_thread("channel", [this] { run(); });
  if (!reads) return pass_on(reads);
  thread_ = std::move(*reads);
  return {};
}

WayBack* ChannelReader::way_back(uint16_t channel) {
  Lock lock(mutex_);
  return opened_ && opened_->channel->number() == channel ? &way_back_ : nullptr;
}

void ChannelReader::drain(std::chrono::seconds longest) {
  way_back_.drain(longest);
}

void ChannelReader::shut() {
  ::shutdown(connection_.get(), SHUT_RDWR);
  way_back_.stop();
}

bool ChannelReader::in_epochs() const {
  Lock lock(mutex_);
  return opened_ && (opened_->kind == Kind::main || opened_->kind == Kind::multifd);
}

bool ChannelReader::is_main() const {
  Lock lock(mutex_);
  return opened_ && opened_->channel->kind() == ChannelKind::main;
}

uint32_t ChannelReader::passes() const {
  Lock lock(mutex_);
  return opened_ ? opened_->batcher->passes() : 0;
}

void ChannelReader::settle(bool urgent_if_silent) {
  int waiting = 0;
  ::ioctl(connection_.get(), FIONREAD, &waiting);
  if (waiting == 0 && urgent_if_silent) open(Kind::urgent);
  Lock lock(mutex_);
  while (waiting > 0 && !opened_ && !ended_) kind_known_.wait(mutex_);
}

// Looks at the first four bytes without taking them. Nothing: the connection ended before.
std::optional<ChannelReader::Kind> ChannelReader::first_bytes() {
  std::array<uint8_t, 4> first{};
  ssize_t got = -1;
  do {
    got = ::recv(connection_.get(), first.data(), first.size(), MSG_PEEK | MSG_WAITALL);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;
  guest_.note_process(writer_of(connection_.get()));
  tell_writers(connection_.get(), 0);
  const uint32_t magic = got == 4 ? be32(first.data()) : 0;
  if (magic == kFileMagic) return Kind::main;
  if (magic == kMultifdMagic) return Kind::multifd;
  recovers_ = first[0] == kCommand;
  return guest_.postcopy() ? Kind::urgent : Kind::opaque;
}

// The first connection that is not a multifd channel is the main one, even if it is opaque: TLS, or a
// postcopy migration that is being recovered.
void ChannelReader::open(Kind kind) {
  Lock lock(mutex_);
  if (opened_) return;
  ChannelKind as = kind == Kind::urgent ? ChannelKind::urgent
                   : kind == Kind::disk ? ChannelKind::disk
                                        : ChannelKind::data;
  if (kind == Kind::main || kind == Kind::opaque) {
    if (guest_.claim_main()) {
      as = ChannelKind::main;
    } else if (kind == Kind::main) {
      kind = Kind::opaque;
    }
  }
  auto channel = session_.open_channel(as);
  if (!channel) {
    spdlog::warn("one connection too many: a session has at most {}, copies of disks that have ended too",
                 kMaxChannels);
    ::shutdown(connection_.get(), SHUT_RDWR);
    return;
  }
  const std::string name = kind == Kind::multifd     ? fmt::format("multifd ({})", channel->number())
                           : as == ChannelKind::main ? "main"
                                                     : fmt::format("unknown ({})", channel->number());
  auto batcher = std::make_unique<Batcher>(
      *channel, Batcher::Notices{
                    .blocks =
                        [this, main = channel.get()](const GuestBlocks& blocks) {
                          main->await_landed();
                          guest_.publish(blocks);
                        },
                    .participants = [this] { return is_main() ? guest_.participants() : 0; },
                    .opaque =
                        [this, name, as](const std::string& why) {
                          if (as == ChannelKind::main) guest_.give_up();
                          guest_.note_opaque(name, why);
                        },
                    .answers = [this] { guest_.ending().will_say(); },
                    // Nobody sees in it what makes the destination's QEMU complete.
                    .unparsed =
                        [this, as] {
                          if (as != ChannelKind::main) return;
                          (void)guest_.ending().may_have_it();
                          session_.say_may_have_it();
                        },
                    .pages_done = [this] { guest_.note_pages_done(); },
                    .postcopy = [this] { guest_.note_postcopy(); },
                });
  std::unique_ptr<StreamReader> reader;
  switch (kind) {
    case Kind::main:
      reader = std::make_unique<MainReader>(*batcher, [this] { return guest_.page_size(); });
      break;
    case Kind::multifd:
      reader = std::make_unique<MultifdReader>(
          *batcher, [this] { return guest_.wait(); }, guest_.repeated_pages());
      break;
    case Kind::opaque:
      batcher->opaque("neither a migration stream nor a multifd channel (TLS?)", true);
      reader = std::make_unique<OpaqueReader>(*batcher);
      break;
    case Kind::urgent:
    case Kind::disk:
      reader = std::make_unique<OpaqueReader>(*batcher);
      break;
  }
  opened_.emplace(Opened{kind, std::move(channel), std::move(batcher), std::move(reader)});
  kind_known_.notify_all();
}

void ChannelReader::run() {
  if (is_disk()) {
    open(Kind::disk);
  } else if (auto kind = first_bytes()) {
    open(*kind);
    if (recovers_ && is_main()) {
      guest_.ending().fetches();
      // The destination answers on the main channel only when it has the preempt channel, which is silent
      // till then.
      guest_.note_postcopy();
      (void)guest_.participants();
    }
  }
  const Opened* opened = nullptr;
  {
    Lock lock(mutex_);
    if (opened_) opened = &*opened_;  // by settle(), perhaps, without a byte
  }
  if (opened) carry(*opened);
  if (is_main()) {
    guest_.give_up();
    guest_.note_dialled();
  }
  if (leaving_.qemu_left && (in_epochs() || is_main()))
    guest_.ending().source_left(is_main() ? leaving_.heard : Ending::Heard::not_known);
  {
    Lock lock(mutex_);
    ended_ = true;
    kind_known_.notify_all();
  }
  on_end_();
}

size_t ChannelReader::receive(const Opened& opened, std::span<uint8_t> where) {
  pollfd ready{connection_.get(), POLLIN, 0};
  int more = poll(&ready, 1, 0);
  while (more == 0 && opened.batcher->may_grow() && opened.channel->lanes_busy(2 * kLanesBusy))
    more = poll(&ready, 1, kLanesBusy.count());
  if (more <= 0) {
    opened.batcher->flush();
    (void)wait_ready({&ready, 1});  // recv() finds what there is
  }
  size_t room = opened.channel->take_room(where.size(), false);
  if (room == 0) {
    // What is still open must be on its way before its acknowledgement can make room.
    opened.batcher->flush();
    room = opened.channel->take_room(where.size(), true);
    if (room == 0) return 0;
  }
  ssize_t got = -1;
  do {
    got = ::recv(connection_.get(), where.data(), room, 0);
  } while (got < 0 && errno == EINTR);
  // A reset ends the stream like a close: QEMU's other side, or QEMU itself, says what it means.
  const size_t received = got > 0 ? static_cast<size_t>(got) : 0;
  leaving_.qemu_left = received == 0 && !way_back_.closed_both_ways();
  if (received > 0) {
    leaving_.given = way_back_.given();
  } else if (got < 0 && errno == ECONNRESET) {
    leaving_.heard = Ending::Heard::nothing;  // a unix socket that is closed with bytes unread
  } else if (way_back_.given() > leaving_.given) {
    leaving_.heard = Ending::Heard::perhaps;
  }
  opened.channel->give_back(room - received);
  return received;
}

// A QEMU that gives up meanwhile has nothing to wait for.
void ChannelReader::await_dialled(const Opened& opened) {
  if (is_main()) {
    opened.batcher->flush();
    opened.channel->await_landed();
    guest_.note_dialled();
  } else if (opened.channel->kind() == ChannelKind::data) {
    pollfd either[] = {{guest_.dialled().fd(), POLLIN, 0}, {connection_.get(), POLLRDHUP, 0}};
    while (poll(either, 2, -1) < 0 && errno == EINTR) {
    }
  }
}

void ChannelReader::carry(const Opened& opened) {
  ThreadName("channel " + short_name(opened.channel->number())).take();
  bool dialled = false;
  Slot slot;
  size_t parsed = 0;  // [0, parsed) is reported, [parsed, filled) waits for more
  size_t filled = 0;
  for (;;) {
    const std::span<uint8_t> remained(slot.get() + parsed, filled - parsed);
    const StreamReader::Want want = opened.reader->wants(remained);
    if (!slot || kSlotBytes - parsed < want.contiguous || filled == kSlotBytes) {
      Slot next = session_.take_slot();
      if (!next) return;
      opened.batcher->flush();
      if (!remained.empty()) std::memcpy(next.get(), remained.data(), remained.size());
      filled = remained.size();
      parsed = 0;
      slot = std::move(next);
      opened.batcher->set_memory(slot);
    }
    const size_t got = receive(opened, {slot.get() + filled, std::min(want.at_most, kSlotBytes - filled)});
    if (got == 0) break;
    filled += got;
    const size_t took = opened.reader->read({slot.get() + parsed, filled - parsed});
    parsed += took;
    if (took > 0 && !std::exchange(dialled, true)) await_dialled(opened);
  }
  // An element that was cut off is passed on as it is: the destination's QEMU will say what it thinks of it.
  if (filled > parsed) opened.batcher->record({slot.get() + parsed, filled - parsed});
  opened.batcher->flush();
  opened.channel->close(takes_nothing(connection_.get()));
}

}  // namespace wherry::qemu
