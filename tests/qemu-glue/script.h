// A script for two QEMUs: the kind of stream, and what the destination does at which moment.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <string>
#include <vector>

namespace wherry::qemu::test {

// Where the main channel becomes opaque.
enum class Opaque {
  never,
  start,          // from the first byte, with a handshake on each channel, as under TLS
  before_blocks,  // at an unknown section in setup, before RAM
  behind_blocks,  // at an unknown section in setup, after RAM
  midway,         // at a page that QEMU has encoded itself
};
// How far the destination has read when it acts.
enum class Moment {
  header,     // the first bytes of all channels
  setup,      // START
  midway,     // two passes of pages
  last_page,  // END
  device,     // the first device
  whole,      // everything: it has the guest
};

inline constexpr Moment kMoments[] = {Moment::header,    Moment::setup,  Moment::midway,
                                      Moment::last_page, Moment::device, Moment::whole};

inline const char* name(Moment moment) {
  static constexpr const char* names[] = {"header", "setup", "midway", "last_page", "device", "whole"};
  return names[static_cast<int>(moment)];
}

// One act of the destination's QEMU or of its network.
struct Act {
  enum class Kind { shut0, shut1, close, half_close, cut } kind;
  size_t channel = 0;  // 0: main; then the data channels, then preempt
};

struct Script {
  Opaque opaque = Opaque::never;
  bool return_path = true;
  size_t data = 0;       // number of multifd channels
  bool preempt = false;  // postcopy is enabled, and its channel exists from the beginning
  size_t flood = 0;      // bytes that the first data channel sends at once after its greeting, before START
  Moment moment = Moment::whole;
  std::vector<Act> acts = {};
  // Whether each act waits until the source has noticed the one before, and the source waits for all acts. If
  // false, both run as fast as they can.
  bool apart = true;

  size_t channels() const { return 1 + data + preempt; }
  std::string name() const;
};

inline std::string Script::name() const {
  static constexpr const char* opaque_names[] = {"parsed", "opaque", "opaque_before_blocks",
                                                 "opaque_behind_blocks", "opaque_midway"};
  std::string name = fmt::format("{} {}{} {} at {}{}:", opaque_names[static_cast<int>(opaque)],
                                 data ? fmt::format("multifd {}", data) : "single", preempt ? " preempt" : "",
                                 return_path ? "with return path" : "without return path", test::name(moment),
                                 apart ? "" : " in a rush");
  for (const Act& act : acts) {
    const std::string channel = act.channel == 0      ? "main"
                                : act.channel <= data ? fmt::format("data{}", act.channel - 1)
                                                      : "preempt";
    switch (act.kind) {
      case Act::Kind::shut0:
        name += " SHUT(0)";
        break;
      case Act::Kind::shut1:
        name += " SHUT(1)";
        break;
      case Act::Kind::close:
        name += " close " + channel;
        break;
      case Act::Kind::half_close:
        name += " half-close " + channel;
        break;
      case Act::Kind::cut:
        name += " cut";
        break;
    }
  }
  return name;
}

}  // namespace wherry::qemu::test
