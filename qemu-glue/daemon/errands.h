// What programs on this host ask of wherryd: one JSON object in a line, one in answer, over the socket
// RUNTIME_DIR/wherryd.sock.
//
//   {"command": "route", "uri": "wherry://…"}  →  {"path": "/run/wherry/…", "disks": "/run/wherry/…"}
//   {"command": "set", "path": "/run/wherry/…", "bandwidth": BYTES_A_SECOND}
//                                              →  {}, when its `wherry send` has been told
//   {"command": "status"}                      →  {"routes": […], "arrivals": […], "libvirt_connections": N}
//   anything else, or what fails               →  {"error": "…"}
//
// ask() is the other end of it. Thread-safe.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace wherry::daemon {

using Errand = std::function<Result<nlohmann::json>(const nlohmann::json& asked)>;

// Serves one connection until it ends.
void serve_errands(const Fd& connection, const Errand& errand);

// Asks the wherryd whose runtime directory that is.
Result<nlohmann::json> ask(const std::string& runtime_dir, const nlohmann::json& question);

inline std::string errand_socket(const std::string& runtime_dir) {
  return runtime_dir + "/wherryd.sock";
}

}  // namespace wherry::daemon
