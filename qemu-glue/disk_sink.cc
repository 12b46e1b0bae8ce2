#include "qemu-glue/disk_sink.h"

#include <sys/socket.h>

#include <array>

#include "qemu-glue/qemu_connection.h"
#include "transport/start_thread.h"

namespace wherry::qemu {

Result<std::unique_ptr<DiskSink>> DiskSink::open(const Endpoint& disks, uint16_t channel,
                                                 DestinationSession& session, Failure& failure) {
  auto connection = dial_qemu(disks);
  if (!connection) {
    return fail("the copy of a disk at the destination: {} (was an NBD server started there?)",
                connection.error().message);
  }
  std::unique_ptr<DiskSink> sink(new DiskSink(std::move(*connection), channel, session, failure));
  if (auto started = sink->start(); !started) return pass_on(started);
  return sink;
}

DiskSink::DiskSink(Fd connection, uint16_t channel, DestinationSession& session, Failure& failure)
    : connection_(std::move(connection)), channel_(channel), session_(session) {
  closer_ = failure.on_fail([this] { ::shutdown(connection_.get(), SHUT_RDWR); });
}

DiskSink::~DiskSink() {
  ::shutdown(connection_.get(), SHUT_RDWR);
  if (listener_.joinable()) listener_.join();
}

Result<> DiskSink::start() {
  auto listens = start_thread([this] { listen(); });
  if (!listens) return pass_on(listens);
  listener_ = std::move(*listens);
  return {};
}

// A server that takes no more has closed the connection, which listen() finds.
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
  ::shutdown(connection_.get(), SHUT_WR);
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
