// The subcommands of `wherry`, and their exit statuses. Each function adds its subcommand to the command
// line. wherry(1) and README have the same table of exit statuses.
#pragma once

#include <CLI/App.hpp>
#include <functional>

namespace wherry::cli {

inline constexpr int kCompleted = 0;    // the migration has completed, or the command has succeeded
inline constexpr int kFailed = 1;       // after a migration, the guest is at the source
inline constexpr int kUsage = 2;        // the command line is wrong; nothing was done
inline constexpr int kUnknown = 3;      // it is not known where the guest is; the message says whom to ask
inline constexpr int kSignalled = 128;  // plus the signal's number: interrupted; the guest is at the source

using Command = std::function<int()>;

// When the command line is parsed, `chosen` becomes the subcommand that the user gave.
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
