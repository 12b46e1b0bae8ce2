// What came back to a source, for tests to wait for.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

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
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kForever, [&] { return came_[channel] == text; });
  }

 private:
  void note(uint16_t channel, const std::string& text) {
    std::lock_guard lock(mutex_);
    came_[channel] += text;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint16_t, std::string> came_;
};

}  // namespace wherry::test
