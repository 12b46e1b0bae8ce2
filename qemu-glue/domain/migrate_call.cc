#include "qemu-glue/domain/migrate_call.h"

namespace wherry::domain {

unsigned migrate_flags(const MigrateOptions& options) {
  unsigned flags = 0;
  const auto set = [&flags](bool wanted, unsigned flag) { flags |= wanted ? flag : 0; };
  set(options.live, VIR_MIGRATE_LIVE);
  set(options.offline, VIR_MIGRATE_OFFLINE);
  set(options.definition.persistent, VIR_MIGRATE_PERSIST_DEST);
  set(options.definition.undefine_source, VIR_MIGRATE_UNDEFINE_SOURCE);
  set(options.suspend, VIR_MIGRATE_PAUSED);
  set(options.p2p, VIR_MIGRATE_PEER2PEER);
  set(options.storage.copy_all, VIR_MIGRATE_NON_SHARED_DISK);
  set(options.storage.copy_inc, VIR_MIGRATE_NON_SHARED_INC);
  set(options.postcopy.allowed, VIR_MIGRATE_POSTCOPY);
  set(options.parallel.on, VIR_MIGRATE_PARALLEL);
  set(options.compressed, VIR_MIGRATE_COMPRESSED);
  set(options.auto_converge, VIR_MIGRATE_AUTO_CONVERGE);
  set(options.tls.on, VIR_MIGRATE_TLS);
  set(options.unsafe, VIR_MIGRATE_UNSAFE);
  set(options.abort_on_error, VIR_MIGRATE_ABORT_ON_ERROR);
  return flags;
}

TypedParams migrate_params(const MigrateOptions& options, const Ways& ways) {
  TypedParams params;
  const auto add = [&params](const char* name, const std::string& value) {
    if (!value.empty()) params.add(name, value);
  };
  add(VIR_MIGRATE_PARAM_URI, ways.memory);
  add(VIR_MIGRATE_PARAM_DISKS_URI, ways.disks);
  for (const std::string& disk : options.storage.disks) add(VIR_MIGRATE_PARAM_MIGRATE_DISKS, disk);
  add(VIR_MIGRATE_PARAM_DEST_NAME, options.definition.name);
  add(VIR_MIGRATE_PARAM_DEST_XML, options.definition.xml);
  add(VIR_MIGRATE_PARAM_PERSIST_XML, options.definition.persistent_xml);
  add(VIR_MIGRATE_PARAM_TLS_DESTINATION, options.tls.destination);
  if (options.bandwidth) params.add(VIR_MIGRATE_PARAM_BANDWIDTH, *options.bandwidth);
  if (options.parallel.connections) {
    params.add(VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, *options.parallel.connections);
  }
  return params;
}

}  // namespace wherry::domain
