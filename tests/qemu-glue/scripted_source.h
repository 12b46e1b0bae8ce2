// Acts as the source's QEMU on its migration sockets: writes a scripted stream, reads the return path, and
// comes to a conclusion as QEMU does.
//
//   with a return path     completed: SHUT(0) has come, and all is written
//                          failed:    a write failed, another SHUT came, or the way back ended before it
//   without                completed: the last write returned
//                          failed:    a write failed
//
// With its conclusion it closes all its connections. Without one for kPatience, it is `waiting`. Thread-safe.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "tests/qemu-glue/scripted_stream.h"

namespace wherry::qemu::test {

// Only a source that never comes to an end waits that long.
inline constexpr std::chrono::milliseconds kPatience{5'000};

class ScriptedSource {
 public:
  // `at_once`: a channel that the destination has closed in both directions must end here without a write to
  // it.
  explicit ScriptedSource(Script script, bool at_once = false)
      : script_(std::move(script)),
        at_once_(at_once),
        stream_(scripted_stream(script_)),
        concluded_(::eventfd(0, EFD_CLOEXEC)) {}
  ~ScriptedSource() {
    conclude("waiting");
    if (thread_.joinable()) thread_.join();
  }

  void start(const std::string& at) {
    thread_ = std::thread([this, at] { run(at); });
  }
  // Waits for the conclusion: completed, failed or waiting.
  std::string conclusion() {
    thread_.join();
    Lock lock(mutex_);
    return progress_.conclusion;
  }
  // The faults that were noticed.
  std::vector<std::string> complaints() const {
    Lock lock(mutex_);
    return progress_.complaints;
  }
  // Bytes that were written.
  uint64_t written() const { return written_; }

  // For the destination of a script whose acts are apart: how an act shows here.
  enum class Heard { half_close, close, close_by_writing };
  // Waits until it shows here.
  void await_end(size_t channel, Heard what) {
    Lock watching(watching_);  // so that it is not closed meanwhile
    const int fd = connection(channel);
    if (fd < 0) return;
    const bool both_ways = what == Heard::close_by_writing || (what == Heard::close && at_once_);
    const short events = both_ways ? 0 : POLLRDHUP;  // poll always reports POLLHUP
    pollfd fds[] = {{fd, events, 0}, {concluded_.get(), POLLIN, 0}};
    if (::poll(fds, 2, kPatience.count()) == 0)
      complain(fmt::format("channel {} has ended at the destination{}, and the source was not told", channel,
                           both_ways ? " in both directions" : ""));
  }
  void await_shut() {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    Lock lock(mutex_);
    while (!progress_.shut && progress_.conclusion.empty() && changed_.wait_until(mutex_, until)) continue;
    if (!progress_.shut && progress_.conclusion.empty())
      progress_.complaints.emplace_back("SHUT did not come");
  }
  void await_conclusion() {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    Lock lock(mutex_);
    while (progress_.conclusion.empty() && changed_.wait_until(mutex_, until)) continue;
  }
  // The destination has acted. It has closed these channels in both directions.
  void let_go(std::set<size_t> closed) {
    Lock lock(mutex_);
    closed_ = std::move(closed);
    progress_.acted = true;
    changed_.notify_all();
  }

 private:
  void run(const std::string& at) {
    play(at);
    await_conclusion();
    conclude("waiting");
    if (reader_.joinable()) reader_.join();
    Lock watching(watching_);
    Lock lock(mutex_);
    connections_.clear();
  }

  void play(const std::string& at) {
    for (size_t channel = 0; channel < script_.channels(); ++channel) {
      if (!connect(at) || (script_.opaque == Opaque::start && !shake_hands(channel)))
        return conclude("failed");
      if (channel == 0) reader_ = std::thread([this] { listen(); });
    }
    for (size_t step = 0; step < kSteps; ++step) {
      // Pages and SYNC of the data channels are written before the main channel's record of the same step.
      for (size_t i = script_.channels(); i-- > 0;) {
        if (!write(i, stream_[i][step])) return conclude("failed");
      }
      if (script_.apart && step == step_of(script_.moment)) await_acts();
    }
    Lock lock(mutex_);
    progress_.wrote_all = true;
    if (!script_.return_path || progress_.shut == 0u) note_conclusion("completed");
  }

  bool connect(const std::string& at) {
    sockaddr_un address{AF_UNIX, {}};
    std::memcpy(address.sun_path, at.c_str(), at.size() + 1);
    Fd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      complain(fmt::format("cannot connect: {}", std::strerror(errno)));
      return false;
    }
    Lock lock(mutex_);
    connections_.push_back(std::move(made));
    if (!progress_.conclusion.empty()) ::shutdown(connections_.back().get(), SHUT_RDWR);
    return true;
  }

  bool shake_hands(size_t channel) {
    ByteVector answer(scripted_hello().size());
    return write(channel, scripted_hello()) && ::recv(connection(channel), answer.data(), answer.size(),
                                                      MSG_WAITALL) == static_cast<ssize_t>(answer.size());
  }

  bool write(size_t channel, const ByteVector& bytes) {
    bool must_end = false;
    {
      Lock lock(mutex_);
      must_end = !bytes.empty() && closed_.contains(channel);
    }
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t sent =
          ::send(connection(channel), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (sent < 0) return false;
      done += static_cast<size_t>(sent);
      written_ += static_cast<size_t>(sent);
    }
    // A write to a channel whose other end is closed ends it.
    if (must_end) await_end(channel, Heard::close_by_writing);
    return true;
  }

  void await_acts() {
    // Each act can have waited for kPatience.
    const auto until = std::chrono::steady_clock::now() + 4 * kPatience;
    Lock lock(mutex_);
    while (!progress_.acted && progress_.conclusion.empty() && changed_.wait_until(mutex_, until)) continue;
    if (!progress_.acted && progress_.conclusion.empty())
      progress_.complaints.emplace_back("the destination did not come so far");
  }

  void listen() {
    ByteVector kept;
    ByteVector bytes(4096);
    for (ssize_t got; (got = ::recv(connection(0), bytes.data(), bytes.size(), 0)) > 0;) {
      const auto come = std::span(bytes).first(static_cast<size_t>(got));
      scripted_cipher(script_, come);
      kept.insert(kept.end(), come.begin(), come.end());
      while (kept.size() >= 4 && kept.size() >= size_t{4} + be16(&kept[2])) {
        if (be16(kept.data()) == kRpShut) return end_of_way_back(be32(&kept[4]));
        kept.erase(kept.begin(), kept.begin() + 4 + be16(&kept[2]));
      }
    }
    end_of_way_back({});
  }

  void end_of_way_back(std::optional<uint32_t> shut) {
    if (!script_.return_path) return;
    Lock lock(mutex_);
    progress_.shut = shut;
    if (progress_.shut != 0u) {
      note_conclusion("failed");
    } else if (progress_.wrote_all) {
      note_conclusion("completed");
    }
    changed_.notify_all();
  }

  void conclude(const std::string& how) {
    Lock lock(mutex_);
    note_conclusion(how);
  }
  void note_conclusion(const std::string& how) WHERRY_REQUIRES(mutex_) {
    if (!progress_.conclusion.empty()) return;
    progress_.conclusion = how;
    ::eventfd_write(concluded_.get(), 1);
    for (const Fd& each : connections_) ::shutdown(each.get(), SHUT_RDWR);
    changed_.notify_all();
  }
  int connection(size_t channel) const {
    Lock lock(mutex_);
    return channel < connections_.size() ? connections_[channel].get() : -1;
  }
  void complain(std::string what) {
    Lock lock(mutex_);
    progress_.complaints.push_back(std::move(what));
  }

  const Script script_;
  const bool at_once_;
  const std::vector<std::vector<ByteVector>> stream_;
  const Fd concluded_;
  std::atomic<uint64_t> written_ = 0;
  struct Progress {
    bool acted = false;
    bool wrote_all = false;
    std::optional<uint32_t> shut;
    std::string conclusion;
    std::vector<std::string> complaints;
  };
  Mutex watching_;
  mutable Mutex mutex_;
  Condition changed_;
  std::vector<Fd> connections_ WHERRY_GUARDED_BY(mutex_);
  std::set<size_t> closed_ WHERRY_GUARDED_BY(mutex_);
  Progress progress_ WHERRY_GUARDED_BY(mutex_);
  std::thread reader_;
  std::thread thread_;
};

}  // namespace wherry::qemu::test
