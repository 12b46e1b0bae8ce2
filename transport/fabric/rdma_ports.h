// The RDMA ports of this host: what libibverbs says of their links, and which IP addresses lead to them.
//
// Each call looks anew and keeps nothing open. Thread-safe. On a host without RDMA the list is empty, which
// is not an error. A device or port that cannot be asked is in the list, with the reason.
//
// Sources: ibv_query_device_ex(3), ibv_query_port(3) and ibv_query_gid_ex(3). The codes of width and speed
// are ib_port_width and ib_port_speed of Linux's include/rdma/ib_verbs.h (InfiniBand's PortInfo), and their
// meaning is in drivers/infiniband/core/sysfs.c. An older libibverbs has no room for XDR: it reports such a
// link as NDR, half as fast.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace wherry {

enum class RdmaGidType { infiniband, roce_v1, roce_v2 };

struct RdmaGid {
  std::string address;  // as text: IPv4 if the GID is an IPv4-mapped address, else IPv6
  RdmaGidType type = RdmaGidType::infiniband;
  std::string interface;  // RoCE: the network interface whose address it is, if this process can see it
};

struct RdmaPort {
  std::string device;
  unsigned number = 0;  // counted from 1; 0: the whole device cannot be asked
  std::string fault;    // why it cannot be asked, and all members from `ethernet` on are unset; else empty
  std::string remedy;   // what to do about the fault; empty if there is none

  bool ethernet = false;   // the link layer is Ethernet, not InfiniBand
  bool active = false;     // the link is up
  std::string state;       // "active", "down", … as libibverbs calls it
  uint64_t rate = 0;       // bytes a second each way, 0 if unknown
  unsigned mtu = 0;        // bytes of payload a packet, 0 if unknown
  bool on_demand = false;  // connections can write to memory that is not locked (ODP)
  std::vector<RdmaGid> gids;
  // The IP addresses by which RDMA's connection manager finds the port. With RoCE those of its v2 GIDs,
  // otherwise those of its network interfaces (IPoIB). Without link-local ones, which need an interface as
  // well.
  std::vector<std::string> addresses;
};

// Sorted by device and number.
std::vector<RdmaPort> rdma_ports();

// The port that carries an address of this host (IPv4 or IPv6, as text); null if none does.
const RdmaPort* rdma_port_at(const std::vector<RdmaPort>& ports, const std::string& address);

// Bytes a second of ibv_port_attr's active_width and active_speed; 0 for codes that are not known.
uint64_t rdma_rate(unsigned width, unsigned speed);

std::string rdma_gid_text(std::span<const uint8_t, 16> gid);

// The network interfaces of a device's port. `directory`: /sys/class/net.
std::vector<std::string> rdma_interfaces(const std::string& directory, const std::string& device,
                                         unsigned port);

}  // namespace wherry
