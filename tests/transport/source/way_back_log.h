// What came back to a source, for tests to wait for.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "tests/transport/support.h"
#include "transport/source/source_session.h"

namespace wherry::test {

class WayBackLog {
 public:
  SourceSession::WayBack way() {
    return {.bytes = [this](uint16_t channel, std::vector<uint8_t> bytes) { note(channel, text_of(bytes)); },
            .closed = [this](uint16_t channel,
                             bool both_ways) { note(channel, both_ways ? "<closed>" : "<ended>"); },
            .never_there = [this] { note(kMainChannel, "<never there>"); }};
  }
  bool wait(uint16_t channel, const std::string& text) {
    const auto until = forever();
    Lock lock(mutex_);
    while (came_[channel] != text && changed_.wait_until(mutex_, until)) continue;
    return came_[channel] == text;
  }

 private:
  void note(uint16_t channel, const std::string& text) {
    Lock lock(mutex_);
    came_[channel] += text;
    changed_.notify_all();
  }
  Mutex mutex_;
  Condition changed_;
  std::map<uint16_t, std::string> came_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry::test
