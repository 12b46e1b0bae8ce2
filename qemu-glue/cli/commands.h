// The subcommands of `wherry`. Each adds itself to the command line; its callback returns the exit status:
// 0 completed, 1 failed, 2 bad usage.
#pragma once

#include <CLI/App.hpp>
#include <functional>

namespace wherry::cli {

inline constexpr int kCompleted = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

using Command = std::function<int()>;

// `chosen` is set to the command that the user gave.
void add_send(CLI::App& app, Command& chosen);
void add_receive(CLI::App& app, Command& chosen);
void add_migrate(CLI::App& app, Command& chosen);
void add_route(CLI::App& app, Command& chosen);
void add_status(CLI::App& app, Command& chosen);
void add_set(CLI::App& app, Command& chosen);
void add_watch(CLI::App& app, Command& chosen);
void add_report(CLI::App& app, Command& chosen);
void add_doctor(CLI::App& app, Command& chosen);

}  // namespace wherry::cli
