// Finds an MTU black hole: a path that drops packets of the size that both ends allow, without an ICMP
// message.
//
// A connection is set up with small packets, so it looks good. Large packets are then sent again and again
// and never acknowledged, until the kernel gives up.
#pragma once

#include <cstdint>
#include <optional>

namespace wherry {

// The size of the largest packets that the kernel now sends on a connected TCP socket. It goes by the MTUs of
// both ends and by what it has learned of the path between.
struct PacketSize {
  uint32_t whole = 0;    // bytes, as an MTU counts them
  uint32_t payload = 0;  // bytes of the stream in it
};
PacketSize packet_size(int fd);

// The size of the largest packets, in bytes as an MTU counts them, if none was ever acknowledged although
// they were sent more than once and smaller ones came through; else nullopt. Also works after the connection
// has failed.
std::optional<uint32_t> lost_packets(int fd);

// What the user can do about lost_packets().
inline constexpr const char* kLostPacketsRemedy =
    "give the interface here the MTU of the narrowest link on the way (ip link set dev INTERFACE mtu BYTES), "
    "or let the kernel find it (sysctl net.ipv4.tcp_mtu_probing=2)";

}  // namespace wherry
