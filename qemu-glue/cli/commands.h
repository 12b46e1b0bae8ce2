// The subcommands of `wherry`. Each adds itself to the command line; its callback returns the exit status.
// wherry(1) and README have the same table of them.
#pragma once

#include <CLI/App.hpp>
#include <functional>

namespace wherry::cli {

inline constexpr int kCompleted = 0;    // also: what was asked was done
inline constexpr int kFailed = 1;       // a migration: the guest is at the source
inline constexpr int kUsage = 2;        // nothing was done
inline constexpr int kUnknown = 3;      // where the guest is, is not known; the message says whom to ask
inline constexpr int kSignalled = 128;  // and the signal's number: interrupted, the guest is at the source

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
