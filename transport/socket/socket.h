// Connected stream sockets: complete reads and writes, and what the kernel knows about a connection.
//
// Calls block, on blocking sockets; another thread ends them with shutdown(2). Thread-safe as long as one
// thread at a time reads a socket and one writes it. Errors are the reason alone; the caller adds the
// address.
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace wherry {

// Turns Nagle's algorithm off, and sets keepalive and TCP_USER_TIMEOUT so that a peer that has vanished is
// noticed after `silence`.
void tune_tcp(int fd, std::chrono::seconds silence);

// Sends all bytes of all pieces. It changes the entries of the span.
Result<> send_all(int fd, std::span<iovec> pieces);
Result<> send_all(int fd, std::span<const uint8_t> bytes);
// The same, but false instead of an error if the peer has closed the connection.
Result<bool> send_while_taken(int fd, std::span<iovec> pieces);
Result<bool> send_while_taken(int fd, std::span<const uint8_t> bytes);

// Fills all pieces. The end of the stream before the first byte is `false`; later it is an error.
Result<bool> recv_all(int fd, std::span<iovec> pieces);
Result<bool> recv_all(int fd, std::span<uint8_t> bytes);

inline iovec piece(std::span<const uint8_t> bytes) {
  return {const_cast<uint8_t*>(bytes.data()), bytes.size()};
}

// For a connection whose incoming stream has ended: whether the peer has closed it, instead of ending only
// its own direction, and so reads nothing more. Over TCP this shows only after a write.
bool takes_nothing(int fd);
// Waits until takes_nothing(). Also returns when the connection is shut at this end.
void await_takes_nothing(int fd);

// Bytes written to a TCP socket that the kernel has not sent for the first time yet: they wait for the peer's
// window or for the link.
uint64_t unsent_bytes(int fd);
// Bytes written to a TCP socket that the peer's kernel has not acknowledged, including unsent ones.
uint64_t unacknowledged_bytes(int fd);

// The numeric address of one end of a connected TCP socket, as in addresses.h.
enum class End { here, peer };
std::string numeric_address(int fd, End end);

// "host:port" of the peer of a connected TCP socket.
std::string peer_address(int fd);

// What an errno of a call on the socket means (base/errno.h). If a timeout ran out, also how long it was.
std::string reason(int error, int fd);

}  // namespace wherry
