// Connected stream sockets: whole reads and writes, and what the kernel knows of them.
//
// Blocking calls on blocking sockets; another thread ends them with shutdown(2). Functions are thread-safe as
// long as one thread reads and one writes a socket. Errors name the address.
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace wherry {

void tune_tcp(int fd, std::chrono::seconds silence);

// Sends all bytes of all pieces; the span's entries are used up on the way.
Result<> send_all(int fd, std::span<iovec> pieces);
Result<> send_all(int fd, std::span<const uint8_t> bytes);
// The same to a peer that may leave: false if it has.
Result<bool> send_while_taken(int fd, std::span<iovec> pieces);
Result<bool> send_while_taken(int fd, std::span<const uint8_t> bytes);

// Fills all pieces. An end of stream before the first byte gives `false`, later an error.
Result<bool> recv_all(int fd, std::span<iovec> pieces);
Result<bool> recv_all(int fd, std::span<uint8_t> bytes);

inline iovec piece(std::span<const uint8_t> bytes) {
  return {const_cast<uint8_t*>(bytes.data()), bytes.size()};
}

// Of a connection whose stream has ended: whether its peer takes nothing more either, because it has closed
// it and not only ended its own direction. Over TCP that shows only to who writes.
bool takes_nothing(int fd);
// Waits for that. Also ends when the connection is shut here.
void await_takes_nothing(int fd);

// Bytes that a TCP socket has taken and the kernel has not sent once yet: they wait for a window or for the
// link.
uint64_t unsent_bytes(int fd);
// And those that the peer's has not acknowledged, unsent ones among them.
uint64_t unacknowledged_bytes(int fd);

// The address of an end of a connected TCP socket, in numbers; of an IPv4 address in an IPv6 socket, that.
enum class End { here, peer };
std::string numeric_address(int fd, End end);

// "host:port" of the peer of a connected TCP socket.
std::string peer_address(int fd);

// What an errno of a socket's call means (base/errno.h); if a time ran out, how long that was.
std::string reason(int error, int fd);

}  // namespace wherry
