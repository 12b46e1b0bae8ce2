// The two Wherrys of one migration, with lanes over loopback: both in this process, or each in its own
// process, to be killed.
#pragma once

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <string>
#include <thread>

#include "qemu-glue/destination/receiver.h"
#include "qemu-glue/source/sender.h"
#include "tests/qemu-glue/scripted_source.h"

namespace wherry::qemu::test {

// The RAM of a guest whose QEMU is this process.
class OwnGuestRam {
 public:
  explicit OwnGuestRam(uint64_t length)
      : length_(length), file_(::memfd_create("ownership-test", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(file_.get(), static_cast<off_t>(length_)), 0);
    memory_ = ::mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    EXPECT_NE(memory_, MAP_FAILED);
  }
  ~OwnGuestRam() { ::munmap(memory_, length_); }
  OwnGuestRam(const OwnGuestRam&) = delete;
  OwnGuestRam& operator=(const OwnGuestRam&) = delete;
  Result<GuestRam> open(const std::string& block) const {
    return GuestRam::open(process_, {{block, reinterpret_cast<uint64_t>(memory_), length_, true}});
  }

 private:
  const pid_t process_ = ::getpid();
  const uint64_t length_;
  const Fd file_;
  void* memory_;
};

// The RAM into which all receivers of this process and its children write. The scripted QEMU is this process,
// so the RAM must be created here.
inline const OwnGuestRam& scripted_ram() {
  static const OwnGuestRam ram(kScriptedPages * kPage);
  return ram;
}
inline Result<GuestRam> open_scripted_ram(pid_t) {
  return scripted_ram().open("pc.ram");
}

enum class Place { relay, direct };

// `resume` has its minimum, so that tests do not wait long.
inline Uri pair_uri(uint16_t port, Place place) {
  const auto uri = Uri::parse(fmt::format("wherry+tcp://127.0.0.1:{}?resume=1s&placement={}", port,
                                          place == Place::direct ? "auto" : "relay"));
  EXPECT_TRUE(uri) << uri.error().message;
  return *uri;
}

class WherryPair {
 public:
  // `arrived`: the answer of the destination's monitor.
  WherryPair(const std::string& from, const std::string& to, Place place,
             std::optional<bool> arrived = std::nullopt)
      : receiver_({.listen = pair_uri(0, place),
                   .qemu = {.path = to, .host = {}},
                   .memory = open_scripted_ram,
                   .arrived = [arrived](pid_t) { return arrived; }},
                  receiver_failure_) {
    auto listens = receiver_.open();
    EXPECT_TRUE(listens) << listens.error().message;
    receiving_ = std::async(std::launch::async, [this] { (void)receiver_.run(); });
    sender_ =
        std::make_unique<Sender>(Sender::Options{.qemu = {.path = from, .host = {}},
                                                 .uri = pair_uri(receiver_.listener().where().port, place)},
                                 sender_failure_);
    auto opened = sender_->open();
    EXPECT_TRUE(opened) << opened.error().message;
    sending_ = std::async(std::launch::async, [this] { (void)sender_->run(); });
  }
  ~WherryPair() { end(); }

  // Waits until both have ended, and ends them if they take too long. Returns the faults.
  std::vector<std::string> end() {
    std::vector<std::string> complaints;
    for (auto* side : {&sending_, &receiving_}) {
      if (!side->valid()) continue;
      if (side->wait_for(kPatience) != std::future_status::ready) {
        complaints.push_back(side == &sending_ ? "the sender does not end" : "the receiver does not end");
        sender_failure_.fail({"the test ends it"});
        receiver_failure_.fail({"the test ends it"});
      }
      side->get();
    }
    return complaints;
  }
  Sender& source() { return *sender_; }
  Report sender() const { return sender_->report(); }
  Report receiver() const { return receiver_.report(); }

 private:
  Failure receiver_failure_;
  Failure sender_failure_;
  Receiver receiver_;
  std::unique_ptr<Sender> sender_;
  std::future<void> receiving_;
  std::future<void> sending_;
};

// The same in two processes. Construct it while this process has only one thread.
class WherryProcesses {
 public:
  WherryProcesses(const std::string& from, const std::string& to, Place place) {
    (void)scripted_ram();
    EXPECT_EQ(::pipe2(said_.data(), O_CLOEXEC), 0);
    receiver_ = start([&] {
      Failure failure;
      Receiver receiver(
          {.listen = pair_uri(0, place), .qemu = {.path = to, .host = {}}, .memory = open_scripted_ram},
          failure);
      if (!receiver.open()) return;
      say(receiver.listener().where().port);
      (void)receiver.run();
    });
    const uint16_t port = hear();
    sender_ = start([&] {
      Failure failure;
      Sender sender({.qemu = {.path = from, .host = {}}, .uri = pair_uri(port, place)}, failure);
      if (!sender.open()) return;
      say(port);
      (void)sender.run();
    });
    EXPECT_EQ(hear(), port) << "the sender has not come up";
  }
  ~WherryProcesses() {
    for (pid_t process : {sender_, receiver_}) {
      ::kill(process, SIGKILL);
      ::waitpid(process, nullptr, 0);
    }
    for (int end : said_) ::close(end);
  }
  // When they return, everything that the process had open is closed.
  void kill_sender() const { end(sender_); }
  void kill_receiver() const { end(receiver_); }

 private:
  template <class Body>
  static pid_t start(Body&& body) {
    const pid_t parent = ::getpid();
    const pid_t process = ::fork();
    if (process != 0) return process;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) body();
    ::_exit(0);
  }
  static void end(pid_t process) {
    ::kill(process, SIGKILL);
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOWAIT);
  }
  void say(uint16_t port) const { (void)!::write(said_[1], &port, sizeof port); }
  uint16_t hear() const {
    uint16_t port = 0;
    pollfd ready{said_[0], POLLIN, 0};
    if (::poll(&ready, 1, kPatience.count()) > 0) (void)!::read(said_[0], &port, sizeof port);
    return port;
  }

  std::array<int, 2> said_{};
  pid_t receiver_ = -1;
  pid_t sender_ = -1;
};

}  // namespace wherry::qemu::test
