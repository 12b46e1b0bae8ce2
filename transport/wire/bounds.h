// What a caller can make one receiver hold: `wherry receive`, or the process of a migration under wherryd.
// What a host's wherryd holds for all of them: qemu-glue/daemon/bounds.h. docs/limits.md lists every bound; a
// test compares the two.
//
// The bounds of a frame and of a guest (kMaxTable, kMaxBody, kMaxChannels, kMaxBlocks, kMaxGuestBytes) are
// part of the wire format: frame.h, channel.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace wherry {

// For the first frame of a connection, all of it. Then the connection is refused.
inline constexpr std::chrono::milliseconds kFirstFramePatience{2000};
// Bytes of a first frame's body. A longer one is refused before it is read.
inline constexpr size_t kFirstFrameBytes = 16 * 1024;

// Lanes of a session. A hello that announces more is refused.
inline constexpr size_t kMostLanes = 64;
// Callers that one receiver greets at the same time, each in a thread; the source's own included. Any more
// are disconnected at once.
inline constexpr size_t kMostCallers = 256;
static_assert(kMostCallers > 2 * kMostLanes);

// Bytes of frames of one channel that wait for their turn. A source that keeps to its flight window (at most
// 128 MiB) never has that many; with more the session fails.
inline constexpr size_t kMostHeld = size_t{256} << 20;
// Bytes of copies of relayed pages. The source is told how many copies there are, and does without the rest.
// Nor do they take more than the host can afford (affordable_history) or a sixteenth of the guest.
inline constexpr uint64_t kMostCopies = uint64_t{8} << 30;

}  // namespace wherry
