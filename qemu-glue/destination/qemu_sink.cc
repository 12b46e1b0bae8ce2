#include "qemu-glue/destination/qemu_sink.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/peer_process.h"
#include "base/start_thread.h"
#include "qemu-glue/destination/qemu_connection.h"
#include "qemu-glue/stream/formats.h"
#include "transport/socket/socket.h"

namespace wherry::qemu {
namespace {

// A PING of ours, answered when QEMU's loader has consumed everything ahead of it.
std::array<uint8_t, 9> own_ping() {
  std::array<uint8_t, 9> ping{kCommand, 0, kCmdPing, 0, 4};
  put_be32(&ping[5], kOwnPing);
  return ping;
}

}  // namespace

QemuSink::~QemuSink() {
  if (connection_) ::shutdown(connection_.get(), SHUT_RDWR);
  if (listener_.joinable()) listener_.join();
}

Result<> QemuSink::open() {
  if (kind_ == ChannelKind::urgent) return dial();
  return {};
}

Result<> QemuSink::dial() {
  if (kind_ != ChannelKind::main && !guest_.wait_main_dialled()) return fail("the session ended");
  const uint64_t since = ticks_now();
  auto connection = dial_qemu(qemu_);
  if (!connection) {
    return fail("the destination's QEMU: {} (was it started with -incoming, or given migrate-incoming?)",
                connection.error().message);
  }
  connection_ = std::move(*connection);
  closer_ = failure_.on_fail([this] {
    const bool closes = guest_.ending().give_up();
    if (kind_ == ChannelKind::main) guest_.ending().cut();
    ::shutdown(connection_.get(), closes ? SHUT_RDWR : SHUT_WR);
  });
  if (kind_ == ChannelKind::main) {
    auto process = PeerProcess::of(connection_.get(), since);
    guest_.main_dialled(process ? std::optional(std::move(*process)) : std::nullopt);
  }
  auto listens = start_thread("return " + short_name(channel_), [this] { listen(); });
  if (!listens) return pass_on(listens);
  listener_ = std::move(*listens);
  return {};
}

// The source's QEMU is told that this one has closed the channel. What comes of that is left to the QEMUs.
void QemuSink::never_dialled(const Error& why) {
  spdlog::error("channel {}: {}", channel_, why.message);
  if (connection_) ::shutdown(connection_.get(), SHUT_RDWR);
  takes_ = false;
  ended_ = true;
  (void)session_.close_back(channel_, true);
}

Result<> QemuSink::record(std::span<const uint8_t> bytes, uint16_t flags) {
  if (!connection_ && takes_) {
    auto dialled = dial();
    if (!dialled && (kind_ == ChannelKind::main || guest_.ending().state() == Ending::State::cannot))
      return dialled;
    if (!dialled) never_dialled(dialled.error());
  }
  if (kind_ == ChannelKind::main && (flags & kAsksHow)) guest_.ending().will_say();
  if (kind_ == ChannelKind::main && (flags & kOpaque) && !guest_.ending().may_have_it())
    return fail("the session ended");
  std::array<iovec, 2> pieces{piece(bytes), {}};
  const auto ping = own_ping();
  if (kind_ == ChannelKind::main && (flags & kSetupDone) && guest_.placing()) pieces[1] = piece(ping);
  return write(pieces);
}

Result<> QemuSink::pages(const PageBatch& batch, bool placed) {
  if (!takes_) return {};
  if (!connection_) return fail("channel {} begins with pages", channel_);
  if (!writer_) {
    writer_ =
        kind_ == ChannelKind::main ? make_main_writer(guest_.blocks()) : make_multifd_writer(guest_.blocks());
  }
  static const Skip nothing;
  // True after placement was withdrawn: earlier pages were written past QEMU.
  const bool whole_zeros = !placed && guest_.placing();
  return write(writer_->write(batch, placed ? guest_.placed() : nothing, whole_zeros));
}

// A QEMU that takes no more has closed the channel, and listen() notices that.
Result<> QemuSink::write(std::span<iovec> pieces) {
  answered_ = false;
  if (!takes_) return {};
  auto sent = send_while_taken(connection_.get(), pieces);
  if (!sent) return fail("the destination's QEMU, channel {}: {}", channel_, sent.error().message);
  takes_ = *sent;
  return {};
}

Result<> QemuSink::close(bool both_ways) {
  // Unless the source's QEMU only follows, because it was told that this one has closed the channel.
  if (kind_ != ChannelKind::urgent && !ended_)
    guest_.ending().source_left(answered_ ? Ending::Heard::perhaps : Ending::Heard::not_known);
  if (kind_ == ChannelKind::main && both_ways) guest_.source_gone();
  if (connection_) ::shutdown(connection_.get(), SHUT_WR);
  return {};
}

void QemuSink::listen() {
  std::array<uint8_t, 16 * 1024> buffer;
  for (;;) {
    ssize_t got = ::recv(connection_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    hear({buffer.data(), static_cast<size_t>(got)});
  }
  tell_end(connection_.get(), [this](bool both_ways) {
    ended_ = true;
    if (both_ways) guest_.ending().leaves();
    if (kind_ == ChannelKind::main) {
      guest_.main_ended(both_ways);
      if (both_ways) session_.gone();
    }
    (void)session_.close_back(channel_, both_ways);
  });
}

void QemuSink::hear(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> without_pong;
  if (kind_ == ChannelKind::main) {
    const bool had_pong = return_path_.ponged();
    return_path_.feed(bytes, without_pong);
    if (return_path_.ponged() && !had_pong) session_.ready();
    if (return_path_.fetches()) guest_.ending().fetches();
    if (return_path_.shut()) guest_.ending().said(*return_path_.shut());
    bytes = without_pong;
  }
  if (bytes.empty()) return;
  answered_ = true;
  if (auto sent = session_.send_back(channel_, bytes); !sent) failure_.fail(std::move(sent.error()));
}

}  // namespace wherry::qemu
