// A network between a source and a destination in which lanes die.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <thread>
#include <vector>

#include "tests/transport/support.h"
#include "transport/socket/connect.h"
#include "transport/socket/endpoint.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"
#include "transport/wire/first_frame.h"

namespace wherry::test {

// Lanes are known by their hello. One that has a
// fate dies when that number of bytes has come over it after its hello, or when cut() says so.
class CuttingProxy {
 public:
  enum class Cut {
    both,            // both ends see it
    at_source,       // the destination sees nothing, and gets a part of what was underway late
    at_destination,  // the source sees nothing, and what it sends goes nowhere
  };
  struct Fate {
    uint64_t bytes = std::numeric_limits<uint64_t>::max();
    Cut cut = Cut::both;
    bool reset = false;  // with a reset instead of an orderly end
  };

  CuttingProxy(Endpoint to, std::map<size_t, Fate> fates)
      : to_(std::move(to)),
        fates_(std::move(fates)),
        listener_(Listener::open({.path = {}, .host = to_.host, .port = 0})) {
    for (const auto& [lane, fate] : fates_) told_[lane] = Fd(::eventfd(0, EFD_CLOEXEC));
    accepting_ = std::thread([this] { accept(); });
  }
  ~CuttingProxy() {
    listener_->stop();
    accepting_.join();
    for (std::thread& connection : connections_) connection.join();
  }

  Endpoint where() const { return listener_->where(); }
  size_t cuts() const { return cuts_; }
  // Lets a lane that has a fate die now.
  void cut(size_t lane) { ::eventfd_write(told_.at(lane).get(), 1); }

 private:
  void accept() {
    while (auto source = listener_->accept(kForever)) {
      auto destination = connect_to(to_, kForever, kForever);
      const auto first = peek_first_frame(source->get(), "the source", kForever);
      if (!destination || !first) return;
      const auto fate = first->type == FrameType::lane_hello
                            ? fates_.find(first->body.at("lane").get<size_t>())
                            : fates_.end();
      connections_.emplace_back([this, source = std::move(*source), destination = std::move(*destination),
                                 fate = fate == fates_.end() ? nullptr : &fate->second,
                                 told = fate == fates_.end() ? -1 : told_.at(fate->first).get()]() mutable {
        carry(std::move(source), std::move(destination), fate, told);
      });
    }
  }

  // What is there to read now; none at the end.
  static std::vector<uint8_t> take(const Fd& from) {
    std::vector<uint8_t> bytes(64 * 1024);
    const ssize_t got = ::recv(from.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return bytes;
  }
  static void await_end(const Fd& of) {
    while (!take(of).empty()) {
    }
  }
  static void end(Fd& connection, bool reset) {
    const linger at_once{1, 0};
    if (reset) setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    connection.reset();
  }

  void carry(Fd source, Fd destination, const Fate* fate, int told) {
    bool welcomed = false;
    uint64_t left = fate ? fate->bytes : std::numeric_limits<uint64_t>::max();
    for (;;) {
      std::array<pollfd, 3> ends{pollfd{source.get(), POLLIN, 0}, pollfd{destination.get(), POLLIN, 0},
                                 pollfd{told, POLLIN, 0}};
      poll(ends.data(), ends.size(), -1);
      if (ends[2].revents) return cut(source, destination, *fate, {});
      if (ends[1].revents) {
        const auto bytes = take(destination);
        if (bytes.empty() || !send_all(source.get(), bytes)) return;
        welcomed = true;
      }
      if (!ends[0].revents) continue;
      const auto bytes = take(source);
      if (bytes.empty()) return;
      const std::span<const uint8_t> all = bytes;
      if (!welcomed || bytes.size() <= left) {
        if (!send_all(destination.get(), all)) return;
        if (welcomed) left -= bytes.size();
        continue;
      }
      (void)send_all(destination.get(), all.first(left));
      return cut(source, destination, *fate, all.subspan(left));
    }
  }

  void cut(Fd& source, Fd& destination, const Fate& fate, std::span<const uint8_t> late) {
    ++cuts_;
    if (fate.cut != Cut::at_destination) end(source, fate.reset);
    if (fate.cut != Cut::at_source) end(destination, fate.reset);
    if (source) await_end(source);
    if (destination) {
      (void)send_all(destination.get(), late);
      await_end(destination);
    }
  }

  const Endpoint to_;
  const std::map<size_t, Fate> fates_;
  std::map<size_t, Fd> told_;
  Result<Listener> listener_;
  std::atomic<size_t> cuts_ = 0;
  std::vector<std::thread> connections_;
  std::thread accepting_;
};

}  // namespace wherry::test
