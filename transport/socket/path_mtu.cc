#include "transport/socket/path_mtu.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "transport/socket/socket.h"

namespace wherry {
namespace {

std::optional<tcp_info> info_of(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
  return info;
}

PacketSize size_of(const tcp_info& info, int fd) {
  const bool ipv6 = numeric_address(fd, End::here).find(':') != std::string::npos;
  const uint32_t headers = (ipv6 ? 40 : 20) + 20 + (info.tcpi_options & TCPI_OPT_TIMESTAMPS ? 12 : 0);
  return {info.tcpi_snd_mss + headers, info.tcpi_snd_mss};
}

}  // namespace

PacketSize packet_size(int fd) {
  const auto info = info_of(fd);
  return info ? size_of(*info, fd) : PacketSize{};
}

std::optional<uint32_t> lost_packets(int fd) {
  const auto info = info_of(fd);
  if (!info || info->tcpi_retransmits == 0) return std::nullopt;
  const uint64_t came = info->tcpi_bytes_acked + info->tcpi_bytes_retrans;
  const uint64_t sent = info->tcpi_bytes_sent + 1;  // acknowledged bytes include the SYN
  if (sent < came + info->tcpi_snd_mss) return std::nullopt;
  // If full packets had come through, they would be most of what did.
  const uint64_t full = uint64_t{info->tcpi_delivered} * info->tcpi_snd_mss;
  if (info->tcpi_bytes_acked > full / 2) return std::nullopt;
  return size_of(*info, fd).whole;
}

}  // namespace wherry
