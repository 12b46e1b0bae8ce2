// A server of QMP that says what a test has it say: one client, served by a script in a thread.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/fd.h"

namespace wherry::test {

// What must not run out, on a loaded machine either.
inline constexpr std::chrono::milliseconds kLong{60'000};

inline constexpr char kGreeting[] =
    R"({"QMP": {"version": {"qemu": {"micro": 13, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}})"
    "\r\n";

// One client of the fake monitor. Reads give up after kLong.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}

  void say(std::string_view text) {
    while (!text.empty()) {
      ssize_t n = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      text.remove_prefix(static_cast<size_t>(n));
    }
  }
  // The next command; null at EOF.
  nlohmann::json hear() {
    for (;;) {
      size_t end = input_.find('\n');
      if (end != std::string::npos) {
        nlohmann::json command = nlohmann::json::parse(input_.substr(0, end), nullptr, false);
        input_.erase(0, end + 1);
        return command;
      }
      pollfd entry{fd_.get(), POLLIN, 0};
      char buffer[4096];
      if (::poll(&entry, 1, static_cast<int>(kLong.count())) <= 0) return nullptr;
      ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return nullptr;
      input_.append(buffer, static_cast<size_t>(n));
    }
  }
  nlohmann::json negotiate() {
    say(kGreeting);
    nlohmann::json command = hear();
    answer(command, nlohmann::json::object());
    return command;
  }
  void answer(const nlohmann::json& command, const nlohmann::json& value) {
    say(nlohmann::json{{"return", value}, {"id", command["id"]}}.dump() + "\r\n");
  }
  void hang_up() { fd_.reset(); }
  // Keeps the connection open until the client has gone.
  void wait_for_end() {
    while (!hear().is_null()) {
    }
  }

 private:
  Fd fd_;
  std::string input_;
};

// A listening socket whose one client is served by `script`, in a thread.
class FakeMonitor {
 public:
  explicit FakeMonitor(std::function<void(Peer&)> script) {
    char folder[] = "/tmp/wherry-qmp-XXXXXX";
    EXPECT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/qmp.sock";
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    if (!script) return;
    thread_ = std::thread([this, script = std::move(script)] {
      Peer peer(::accept(listener_.get(), nullptr, nullptr));
      script(peer);
    });
  }
  ~FakeMonitor() {
    join();
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  // Until the script has run to its end.
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  const std::string& path() const { return path_; }

 private:
  std::string folder_, path_;
  Fd listener_;
  std::thread thread_;
};

}  // namespace wherry::test
