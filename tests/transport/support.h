// What the tests of transport/ share.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/mutex.h"
#include "transport/wire/frame_socket.h"

namespace wherry::test {

// Long enough for any condition on a loaded machine; only a failing test waits that long.
inline constexpr std::chrono::seconds kForever{60};
inline std::chrono::steady_clock::time_point forever() {
  return std::chrono::steady_clock::now() + kForever;
}

// Ends the process if the scope it guards is not left in time: a thread that hangs cannot be failed
// otherwise.
class Watchdog {
 public:
  explicit Watchdog(std::string what)
      : thread_([this, what = std::move(what)] {
          const auto until = forever();
          Lock lock(mutex_);
          while (!done_ && left_.wait_until(mutex_, until)) continue;
          if (done_) return;
          std::fprintf(stderr, "%s hangs\n", what.c_str());
          std::abort();
        }) {}
  ~Watchdog() {
    {
      Lock lock(mutex_);
      done_ = true;
    }
    left_.notify_all();
    thread_.join();
  }

 private:
  Mutex mutex_;
  Condition left_;
  bool done_ WHERRY_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// A directory of the test's own, removed with what is in it.
class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/wherry-test-XXXXXX";
    if (mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string at(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// While this lives, the process can open only `more` descriptors.
class FewDescriptors {
 public:
  explicit FewDescriptors(size_t more) {
    std::vector<Fd> free;  // the lowest numbers; the last is the first that must not be given
    while (free.size() <= more) free.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    rlimit few{};
    ::getrlimit(RLIMIT_NOFILE, &before_);
    few = before_;
    few.rlim_cur = static_cast<rlim_t>(free.back().get());
    free.clear();
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
};

// Runs `body` in a child process, for what this process must not do itself. True: it ran, and returned true.
template <class Body>
bool in_a_child(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// For a child: no further processes or threads.
inline void forbid_threads() {
  if (::geteuid() == 0 && ::setuid(65534) != 0) std::abort();  // root may have any number
  const rlimit none{};
  ::setrlimit(RLIMIT_NPROC, &none);
}

inline std::pair<Fd, Fd> socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
  return {Fd(fds[0]), Fd(fds[1])};
}

// All that comes until the end.
inline std::string read_all(int fd) {
  std::string all;
  char bytes[4096];
  for (ssize_t got; (got = ::recv(fd, bytes, sizeof bytes, 0)) > 0;)
    all.append(bytes, static_cast<size_t>(got));
  return all;
}

inline std::vector<uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}
inline std::string text_of(std::span<const uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

// Bytes that differ from seed to seed and repeat nowhere soon.
inline std::vector<uint8_t> noise(size_t length, uint32_t seed) {
  std::vector<uint8_t> bytes(length);
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (uint8_t& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(state >> 56);
  }
  return bytes;
}

}  // namespace wherry::test
