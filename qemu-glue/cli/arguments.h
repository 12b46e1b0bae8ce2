// Values of command-line options, checked: addresses of QEMU and of monitors, and who may be talked to.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "qemu-glue/uri.h"
#include "transport/socket/endpoint.h"

namespace wherry::cli {

// unix:PATH, or tcp:HOST:PORT on loopback. `option` is whose value it is.
Result<Endpoint> qemu_endpoint(const char* option, const std::string& text);
// The same of --disks; nothing if there is none.
Result<std::optional<Endpoint>> disks_endpoint(const std::string& text);
// The path in unix:PATH or qmp:PATH, or a plain path.
std::string monitor_path(const std::string& text);
// A URI; beyond loopback only with --insecure, since there are no credentials yet.
Result<Uri> peer_uri(const std::string& text, bool insecure);

}  // namespace wherry::cli
