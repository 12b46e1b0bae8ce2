#include "qemu-glue/destination/disk_sink.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>

#include "base/start_thread.h"
#include "qemu-glue/destination/qemu_connection.h"
#include "transport/socket/socket.h"

namespace wherry::qemu {

Result<std::unique_ptr<DiskSink>> DiskSink::open(const Endpoint& disks, uint16_t channel,
                                                 DestinationSession& session, Failure& failure) {
  std::unique_ptr<DiskSink> sink(new DiskSink(channel, session));
  auto connection = dial_qemu(disks);
  if (!connection) {
    spdlog::warn("the copy of a disk at the destination: {} (was an NBD server started there?)",
                 connection.error().message);
    (void)session.close_back(channel, true);  // if that fails, the session does
    return sink;
  }
  sink->connection_ = std::move(*connection);
  sink->takes_ = true;
  sink->closer_ = failure.on_fail([fd = sink->connection_.get()] { ::shutdown(fd, SHUT_RDWR); });
  auto listens =
      start_thread(fmt::format("disk {}", channel), [listening = sink.get()] { listening->listen(); });
  if (!listens) return pass_on(listens);
  sink->listener_ = std::move(*listens);
  return sink;
}

DiskSink::~DiskSink() {
  if (!listener_.joinable()) return;
  ::shutdown(connection_.get(), SHUT_RDWR);
  listener_.join();
}

// A server that takes no more has closed the connection, and listen() notices that.
Result<> DiskSink::record(std::span<const uint8_t> bytes, uint16_t) {
  if (!takes_) return {};
  auto sent = send_while_taken(connection_.get(), bytes);
  if (!sent) return fail("the copy of a disk at the destination: {}", sent.error().message);
  takes_ = *sent;
  return {};
}

Result<> DiskSink::pages(const PageBatch&, bool) {
  return fail("channel {} is a disk's, and carries no pages of the guest", channel_);
}

Result<> DiskSink::close(bool) {
  if (connection_) ::shutdown(connection_.get(), SHUT_WR);
  return {};
}

// If the session is over already there is nobody to tell.
void DiskSink::listen() {
  std::array<uint8_t, 64 * 1024> bytes;
  for (;;) {
    const ssize_t got = ::recv(connection_.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (!session_.send_back(channel_, std::span(bytes).first(static_cast<size_t>(got)))) return;
  }
  tell_end(connection_.get(), [this](bool both_ways) { (void)session_.close_back(channel_, both_ways); });
}

}  // namespace wherry::qemu
