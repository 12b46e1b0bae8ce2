// The control connection of a session: handshake, acknowledgements, the way back, urgent channels, the end.
//
//     start(): a thread of its own receives ─▶ its loop ends, or give_up() ─▶ join()
//
// send() and give_up() may be called by any thread. What is sent here never waits behind page data.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/result.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

// Who sees a connection end waits that long for the reason, which the peer gives on the control connection.
inline constexpr std::chrono::milliseconds kExplanation{500};

class Control {
 public:
  explicit Control(std::unique_ptr<FrameSocket> socket) : socket_(std::move(socket)) {}

  Result<> send(const FrameHeader& header, std::span<const uint8_t> body = {});
  Result<> send(FrameType type, const nlohmann::json& map);
  Result<> acknowledge(uint16_t channel, uint64_t sequence);
  // Tells the peer why the session is over, if that needs no long waiting, and ends this side of the
  // connection. `aux` is that of the frame.
  void give_up(const std::string& why, uint32_t aux);

  // Runs the loop that receives, in a thread.
  Result<> start(std::function<void()> loop);
  // Whether start() was called and join() not yet.
  bool running() const { return thread_.joinable(); }
  // Waits for the loop's end. After give_up() the peer has kExplanation to take the reason and end its side:
  // a connection that is closed with bytes unread may take what was sent before along.
  void join();

  Result<bool> receive(FrameHead& head, std::vector<uint8_t>& body);

  // Whether the peer has ended the connection; nothing of it is taken.
  bool gone() const;

  // The link's shortest round trip so far, as the kernel has measured it.
  std::chrono::microseconds round_trip() const;
  uint64_t bytes_sent() const { return socket_->bytes_sent(); }
  const std::string& peer() const { return socket_->peer(); }

 private:
  std::unique_ptr<FrameSocket> socket_;
  std::mutex sending_;
  std::thread thread_;
  std::atomic<bool> over_ = false;  // the loop has ended, or give_up() was called
  std::atomic<bool> given_up_ = false;
};

// A sentence from the peer, made fit to print and to report: bounded, ASCII, without control characters.
std::string peer_text(std::span<const uint8_t> body);

// A CBOR map from the peer; anything else is an error.
Result<nlohmann::json> read_map(std::span<const uint8_t> body, const std::string& peer);

// A member of such a map that must be there and have this type.
template <class T>
Result<T> member(const nlohmann::json& map, const char* key) {
  auto found = map.find(key);
  if (found != map.end()) {
    if constexpr (std::is_same_v<T, std::string>) {
      if (found->is_string()) return found->template get<std::string>();
    } else {
      if (found->is_number_unsigned() && found->template get<uint64_t>() <= std::numeric_limits<T>::max()) {
        return found->template get<T>();
      }
    }
  }
  return fail("the peer's message lacks a sound \"{}\"", key);
}

// A member that is a list of numbers of this type.
template <class T>
Result<std::vector<T>> numbers(const nlohmann::json& map, const char* key) {
  auto found = map.find(key);
  if (found == map.end() || !found->is_array()) return fail("the peer's message lacks a list \"{}\"", key);
  std::vector<T> list;
  for (const nlohmann::json& item : *found) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > std::numeric_limits<T>::max()) {
      return fail("the peer's message has an unsound number in \"{}\"", key);
    }
    list.push_back(item.get<T>());
  }
  return list;
}

}  // namespace wherry
