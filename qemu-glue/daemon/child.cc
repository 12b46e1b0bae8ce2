#include "qemu-glue/daemon/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <csignal>

#include "base/errno.h"
#include "base/wait_ready.h"

namespace wherry::daemon {
namespace {

// What a child inherits: its output and its socket, with no signal blocked.
class Inheritance {
 public:
  Inheritance(int output, int socket) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files_, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files_, socket, kChildSocket);
    // Whatever a library has opened without O_CLOEXEC.
    posix_spawn_file_actions_addclosefrom_np(&files_, kChildSocket + 1);
    posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    // In its own process group, so that Ctrl-C at the daemon's terminal reaches only the daemon.
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  Inheritance(const Inheritance&) = delete;
  ~Inheritance() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  const posix_spawn_file_actions_t* files() const { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

// Moves a descriptor above the numbers that the child gets, so that none is overwritten before it is copied.
Fd lifted(int fd) {
  Fd low(fd);
  return Fd(::fcntl(low.get(), F_DUPFD_CLOEXEC, kChildSocket + 1));
}

}  // namespace

Result<std::unique_ptr<Child>> Child::spawn(const std::vector<std::string>& argv) {
  std::array<int, 2> pipe{-1, -1};
  std::array<int, 2> pair{-1, -1};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return fail("cannot start {}: {}", argv.front(), reason(errno));
  std::unique_ptr<Child> child(new Child);
  child->output_ = Fd(pipe[0]);
  const Fd output = lifted(pipe[1]);
  if (!output) return fail("cannot start {}: {}", argv.front(), reason(errno));
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return fail("cannot start {}: {}", argv.front(), reason(errno));
  }
  child->socket_ = Fd(pair[0]);
  const Fd socket = lifted(pair[1]);
  if (!socket) return fail("cannot start {}: {}", argv.front(), reason(errno));
  const Inheritance inheritance(output.get(), socket.get());
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const int error = ::posix_spawn(&child->pid_, argv.front().c_str(), inheritance.files(),
                                  inheritance.attributes(), arguments.data(), environ);
  if (error != 0) return fail("cannot start {}: {}", argv.front(), reason(error));
  Lock lock(child->mutex_);
  child->ended_ = false;
  return child;
}

Child::~Child() {
  if (let_go_) return;
  stop();
  wait();
}

void Child::let_go() {
  let_go_ = true;
}

Child::Said Child::read_line(std::string& line, std::chrono::milliseconds longest) {
  const auto until = std::chrono::steady_clock::now() + longest;
  for (;;) {
    if (const size_t end = unread_.find('\n'); end != std::string::npos) {
      line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return Said::line;
    }
    pollfd ready{output_.get(), POLLIN, 0};
    if (auto more = wait_ready({&ready, 1}, until); more && !*more) return Said::nothing;
    std::array<char, 4096> bytes;
    const ssize_t got = ::read(output_.get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Said::end;
    unread_.append(bytes.data(), static_cast<size_t>(got));
  }
}

void Child::stop() {
  Lock lock(mutex_);
  if (!ended_) ::kill(pid_, SIGTERM);
}

int Child::wait() {
  {
    Lock lock(mutex_);
    if (ended_) return status_;
  }
  // WNOWAIT: the process is reaped only once ended_ is set, so stop() never signals a reused pid.
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  Lock lock(mutex_);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  ended_ = true;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

}  // namespace wherry::daemon
