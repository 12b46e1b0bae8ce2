// Whether this host's wherryd has a valid configuration and works as it says.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/doctor/finding.h"
#include "transport/socket/endpoint.h"

namespace wherry::doctor {

// `config`: the result of Config::read for `file`. `runs`: whether a wherryd runs.
Finding configuration(const std::string& file, const Result<daemon::Config>& config, bool runs);
// `administrators`: the configured group; can be empty.
Finding runtime_directory(const std::string& directory, const std::string& administrators);
// `hosts`: names of destinations.
Finding socket_paths(const std::string& directory, const std::vector<std::string>& hosts);
Finding running(const std::string& directory);
// Whether guest memory crosses a network in the clear.
Finding secrecy(const daemon::Config& config);
// Whether wherryd listens at all addresses of `listen`; if it does not run, whether it could. Connects to it.
Finding port(const Endpoint& listen, bool runs);

}  // namespace wherry::doctor
