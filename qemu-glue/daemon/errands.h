// Requests of local programs to wherryd over the socket RUNTIME_DIR/wherryd.sock: one line with a JSON
// object, and one line in answer.
//
//   {"command": "route", "uri": "wherry://…"}  →  {"path": "/run/wherry/…", "disks": "/run/wherry/…"}
//   {"command": "set", "path": "/run/wherry/…", "bandwidth": BYTES_A_SECOND}
//                                              →  {}, after its `wherry send` was told
//   {"command": "status"}                      →  {"routes": […], "arrivals": […], "libvirt_connections": N}
//   anything else, or a failure                →  {"error": "…"}
//
// ask() is the client. Thread-safe.
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
// The same for who has no thread for it: only what is asked at once is answered.
void serve_errands_at_hand(const Fd& connection, const Errand& errand);

// Asks the wherryd that has this runtime directory.
Result<nlohmann::json> ask(const std::string& runtime_dir, const nlohmann::json& question);

inline std::string errand_socket(const std::string& runtime_dir) {
  return runtime_dir + "/wherryd.sock";
}

}  // namespace wherry::daemon
