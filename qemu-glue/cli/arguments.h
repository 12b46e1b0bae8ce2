// Parses and checks values of command-line options: sockets of QEMU, monitors, and migration URIs.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/trace.h"
#include "qemu-glue/uri.h"
#include "transport/socket/endpoint.h"

namespace wherry::cli {

// Parses unix:PATH, or tcp:HOST:PORT on loopback. `option` is the option's name, for errors.
Result<Endpoint> qemu_endpoint(const char* option, const std::string& text);
// The value of --disks, of the same form; nothing if it is empty.
Result<std::optional<Endpoint>> disks_endpoint(const std::string& text);
// The path of unix:PATH, qmp:PATH or a plain path.
std::string monitor_path(const std::string& text);
// The help of --trace, which several commands have.
inline constexpr const char* kTraceOption = "File to which the session's events are added, as lines of JSON";
// The value of --trace; null if it is empty.
Result<std::unique_ptr<Trace>> open_trace(const std::string& path);
// Parses a migration URI. Beyond loopback an Error without --insecure, because Wherry does not encrypt yet.
Result<Uri> peer_uri(const std::string& text, bool insecure);

}  // namespace wherry::cli
