// Real QEMUs for unit tests, to be asked over QMP; each ends with its object. WHERRY_QEMUS lists the
// binaries, separated by colons; the default is the installed one.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "qemu-glue/monitor/qmp.h"

namespace wherry::test {

inline std::vector<std::string> qemus() {
  const char* list = ::getenv("WHERRY_QEMUS");
  std::istringstream text(list != nullptr && *list != 0 ? list : "qemu-system-x86_64");
  std::vector<std::string> found;
  for (std::string path; std::getline(text, path, ':');) {
    if (!path.empty()) found.push_back(path);
  }
  return found;
}

// A QEMU that waits for an incoming migration; its guest does not run.
class Qemu {
 public:
  Qemu(const std::string& binary, std::vector<std::string> options) {
    char folder[] = "/tmp/wherry-qemu-XXXXXX";
    EXPECT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    std::vector<std::string> arguments{binary,
                                       "-accel",
                                       "tcg",
                                       "-nodefaults",
                                       "-display",
                                       "none",
                                       "-S",
                                       "-incoming",
                                       "defer",
                                       "-qmp",
                                       fmt::format("unix:{}/qmp.sock,server=on,wait=off", folder_)};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::vector<char*> pointers;
    for (auto& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() == parent) ::execvp(pointers[0], pointers.data());
      ::_exit(127);
    }
  }
  ~Qemu() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::unlink((folder_ + "/qmp.sock").c_str());
    ::rmdir(folder_.c_str());
  }
  Qemu(const Qemu&) = delete;
  Qemu& operator=(const Qemu&) = delete;

  // nullptr if this binary cannot be run here.
  std::unique_ptr<Qmp> monitor() {
    auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (;;) {
      auto qmp = Qmp::connect(folder_ + "/qmp.sock", std::chrono::seconds(60));
      if (qmp) return std::move(*qmp);
      if (::waitpid(pid_, nullptr, WNOHANG) != 0 || std::chrono::steady_clock::now() > give_up) {
        ADD_FAILURE() << qmp.error().message;
        return nullptr;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  pid_t pid() const { return pid_; }

  static constexpr std::chrono::milliseconds kPatience{60'000};

 private:
  std::string folder_;
  pid_t pid_ = -1;
};

}  // namespace wherry::test
