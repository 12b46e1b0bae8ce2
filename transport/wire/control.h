// The control connection of a session: handshake, acknowledgements, return paths, urgent channels, the end.
//
//     start(): a thread receives ─▶ its loop ends, or give_up() ─▶ join()
//
// send() and give_up() are thread-safe. What is sent here never has to wait for page data.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/mutex.h"
#include "base/result.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

// How long to wait, when a connection has ended, for the reason that the peer sends on the control
// connection.
inline constexpr std::chrono::milliseconds kExplanation{500};

class Control {
 public:
  explicit Control(std::unique_ptr<FrameSocket> socket) : socket_(std::move(socket)) {}

  Result<> send(const FrameHeader& header, std::span<const uint8_t> body = {});
  Result<> send(FrameType type, const nlohmann::json& map);
  Result<> acknowledge(uint16_t channel, uint64_t sequence);
  // Tells the peer why the session is over, unless that would block for long, and ends this side of the
  // connection. `aux` is that of the frame.
  void give_up(const std::string& why, uint32_t aux);

  // Runs `loop`, which receives, in a thread.
  Result<> start(std::function<void()> loop);
  // Whether start() was called, and join() was not yet.
  bool running() const { return thread_.joinable(); }
  // Waits for the end of the loop. After give_up(), the peer has kExplanation to read the reason and to end
  // its side, because closing a connection with unread bytes can discard what was sent on it before.
  void join();

  Result<bool> receive(FrameHead& head, std::vector<uint8_t>& body);

  // Whether the peer has ended the connection. Reads nothing.
  bool gone() const;

  // The link's shortest round trip so far, as the kernel has measured it.
  std::chrono::microseconds round_trip() const;
  uint64_t bytes_sent() const { return socket_->bytes_sent(); }
  const std::string& peer() const { return socket_->peer(); }

 private:
  std::unique_ptr<FrameSocket> socket_;
  Mutex sending_;  // held while a frame is sent
  std::thread thread_;
  std::atomic<bool> over_ = false;  // the loop has ended, or give_up() was called
  std::atomic<bool> given_up_ = false;
};

// The peer's text, printable (base/printable.h).
std::string peer_text(std::span<const uint8_t> body);

// A CBOR map from the peer; anything else is an error.
Result<nlohmann::json> read_map(std::span<const uint8_t> body, const std::string& peer);

// A required member of a map, of type T.
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
  return fail("the peer's message has no valid \"{}\"", key);
}

// A required member of a map that is text for people: printable.
Result<std::string> peer_text(const nlohmann::json& map, const char* key);

// A required member of a map that is a list of numbers of type T.
template <class T>
Result<std::vector<T>> numbers(const nlohmann::json& map, const char* key) {
  auto found = map.find(key);
  if (found == map.end() || !found->is_array()) return fail("the peer's message has no list \"{}\"", key);
  std::vector<T> list;
  for (const nlohmann::json& item : *found) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > std::numeric_limits<T>::max()) {
      return fail("the peer's message has an invalid number in \"{}\"", key);
    }
    list.push_back(item.get<T>());
  }
  return list;
}

}  // namespace wherry
