// Whether this host's wherryd is told something sound, and does it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/doctor/finding.h"
#include "transport/socket/endpoint.h"

namespace wherry::doctor {

// `config`: what Config::read makes of `file`. `runs`: whether a wherryd runs nevertheless.
Finding configuration(const std::string& file, const Result<daemon::Config>& config, bool runs);
// `group`: as configured; may be empty.
Finding runtime_directory(const std::string& directory, const std::string& group);
// `hosts`: names that migrations go to.
Finding socket_paths(const std::string& directory, const std::vector<std::string>& hosts);
Finding running(const std::string& directory);
// Who can read what is sent.
Finding secrecy(const daemon::Config& config);
// Whether wherryd listens where it is told to, at all addresses of that host, or could. Asks it.
Finding port(const Endpoint& listen, bool runs);

}  // namespace wherry::doctor
