// What others can make the wherryd of a host hold: whoever reaches its port, its peers, and its own users.
// What is exceeded is refused with a sentence, and all others go on. What a migration's process holds:
// transport/wire/bounds.h. docs/limits.md lists every bound; a test compares the two.
//
// "One" is one peer by its name; all callers of this host itself; or all strangers together. So nobody takes
// what is another's.
#pragma once

#include <cstddef>

namespace wherry::daemon {

// Connections at the port that have not sent their first frame (for which they have kFirstFramePatience): of
// one, and of all. With more, the oldest is refused, since a Wherry sends its first frame at once.
inline constexpr size_t kUnheardOfOne = 128;
inline constexpr size_t kUnheardOfAll = 512;

// Connections of peers to this host's libvirt and beginnings of migrations, each with one thread or two.
inline constexpr size_t kServedOfOne = 128;
inline constexpr size_t kServedOfAll = 512;

// Routes that a peer has announced and that have not begun. Each is forgotten after route_timeout.
inline constexpr size_t kAnnouncedOfOne = 64;
inline constexpr size_t kAnnouncedOfAll = 256;

// Migrations that arrive here, each with a process, a thread and a directory.
inline constexpr size_t kArrivalsOfOne = 64;
inline constexpr size_t kArrivalsOfAll = 128;

// Routes that leave this host, each with a process, a thread and a directory.
inline constexpr size_t kMostDepartures = 256;

// Local clients at the gateway to one peer's libvirt, each with two threads; and errands. Any more are
// disconnected at once.
inline constexpr size_t kMostGatewayClients = 128;
inline constexpr size_t kMostErrands = 64;

// The last descriptors of the process, which no connection at the port gets. So errands are answered when the
// others are used up, and a route can be made.
inline constexpr size_t kKeptDescriptors = 16;

// Lines of the log about refused connections, in a second. The next line after that counts those left out.
inline constexpr size_t kRefusalLines = 10;

}  // namespace wherry::daemon
