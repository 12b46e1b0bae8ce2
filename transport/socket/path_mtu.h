// Packets as large as both ends allow, on a way that takes only smaller ones and drops the others without a
// word.
//
// A connection is made of small packets, so it looks sound. What is large is sent again and again on it and
// never acknowledged, until the kernel gives up.
#pragma once

#include <cstdint>
#include <optional>

namespace wherry {

// The packets of a connected TCP socket, as large as the kernel makes them now: by the MTUs of both ends, and
// by what it has heard of those between.
struct PacketSize {
  uint32_t whole = 0;    // bytes, as an MTU counts them,
  uint32_t payload = 0;  // and of the stream
};
PacketSize packet_size(int fd);

// The size of packets of which not one was ever acknowledged, though they were sent more than once and
// smaller ones came through. Nothing: it is not so. Still known of a connection that has failed.
std::optional<uint32_t> lost_packets(int fd);

// What to do about that.
inline constexpr const char* kLostPacketsRemedy =
    "give the interface here the MTU of the narrowest link on the way (ip link set dev INTERFACE mtu BYTES), "
    "or let the kernel find it (sysctl net.ipv4.tcp_mtu_probing=2)";

}  // namespace wherry
