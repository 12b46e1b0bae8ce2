// wherry migrate DOMAIN DEST: migrates a libvirt domain to another host. The options are those of virsh.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "qemu-glue/domain/migrate_call.h"

namespace wherry::cli {

struct DomainOptions {
  std::string domain;
  std::string destination;
  std::string connect = "qemu:///system";
  std::string runtime_dir = "/run/wherry";
  std::string xml_file;
  std::string persistent_xml_file;
  uint64_t timeout = 0;  // seconds
  domain::MigrateOptions how;
};

// Adds the options to the command line and returns them. `options` must outlive `command`.
std::vector<CLI::Option*> add_domain_options(CLI::App& command, DomainOptions& options);

// Returns the exit status. If `via` is empty, wherry://HOST of the destination is used.
int migrate_domain(const DomainOptions& options, const std::string& via, bool json);

}  // namespace wherry::cli
