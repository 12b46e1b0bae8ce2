// wherry watch: shows the migrations of this host's wherryd, redrawn every second.
#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <thread>

#include "qemu-glue/cli/commands.h"
#include "qemu-glue/daemon/errands.h"
#include "qemu-glue/look/table.h"

namespace wherry::cli {
namespace {

struct Size {
  size_t width = 1000;  // in characters; the default is for output that is not a terminal
  size_t height = 1000;
};

Size size_of_terminal() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

// Runs until the program is killed (Ctrl-C needs no clean-up) or its output is closed.
int watch(const std::string& runtime_dir) {
  std::signal(SIGINT, SIG_DFL);  // a library that libfabric loads installs a handler
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  bool answered = false;
  for (size_t drawn = 0;;) {
    const auto answer = daemon::ask(runtime_dir, {{"command", "status"}});
    if (!answer && !answered) {
      spdlog::error("{}", answer.error().message);
      return kFailed;
    }
    answered = true;  // from now on a missing answer is no reason to exit: wherryd may be restarting
    const Size size = size_of_terminal();
    // One line of the terminal is for the cursor, below the last line.
    const std::vector<std::string> lines =
        answer ? look::table(*answer, size.width, size.height - 1)
               : std::vector<std::string>{answer.error().message.substr(0, size.width)};
    std::string text;
    if (terminal && drawn > 0) text = fmt::format("\r\033[{}A\033[J", drawn);
    if (!terminal && drawn > 0) text = "\n";
    for (const std::string& line : lines) text += line + "\n";
    drawn = lines.size();
    if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) return kCompleted;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace

void add_watch(CLI::App& app, Command& chosen) {
  auto runtime_dir = std::make_shared<std::string>("/run/wherry");
  CLI::App* command =
      app.add_subcommand("watch", "Show the migrations of this host's wherryd, redrawn every second");
  command->add_option("--runtime-dir", *runtime_dir, "wherryd's runtime directory (/run/wherry)");
  command->callback([runtime_dir, &chosen] { chosen = [runtime_dir] { return watch(*runtime_dir); }; });
}

}  // namespace wherry::cli
