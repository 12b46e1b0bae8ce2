#include "qemu-glue/cli/migrate_domain.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "qemu-glue/cli/commands.h"
#include "qemu-glue/cli/interruption.h"
#include "qemu-glue/cli/progress.h"
#include "qemu-glue/domain/domain_migration.h"
#include "qemu-glue/domain/event_loop.h"
#include "qemu-glue/look/units.h"
#include "qemu-glue/uri.h"

namespace wherry::cli {
namespace {

using domain::DomainMigration;
using domain::MigrationProgress;

Result<std::string> read_file(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return fail("cannot read {}", path);
  return text.str();
}

Result<DomainMigration::Options> configure(const DomainOptions& options, const std::string& via) {
  auto to = domain::Destination::parse(options.destination, options.runtime_dir);
  if (!to) return pass_on(to);
  DomainMigration::Options all{.connect = options.connect,
                               .domain = options.domain,
                               .to = std::move(*to),
                               .via = via,
                               .runtime_dir = options.runtime_dir,
                               .how = options.how};
  if (via.empty() && !options.how.offline) {
    if (all.to.host.empty()) return fail("{} names no host: give --via wherry://HOST", options.destination);
    all.via = "wherry://" + all.to.host;
  }
  if (!all.via.empty()) {
    if (auto uri = Uri::parse(all.via); !uri) return pass_on(uri);
  }
  // With a unix socket, libvirt needs the name to expect in the destination's certificate.
  if (options.how.tls.on && options.how.tls.destination.empty()) all.how.tls.destination = all.to.host;
  if (options.timeout > 0) all.how.timeout = std::chrono::seconds(options.timeout);
  auto xml = read_file(options.xml_file);
  if (!xml) return pass_on(xml);
  all.how.definition.xml = std::move(*xml);
  auto persistent_xml = read_file(options.persistent_xml_file);
  if (!persistent_xml) return pass_on(persistent_xml);
  all.how.definition.persistent_xml = std::move(*persistent_xml);
  return all;
}

std::string size_text(uint64_t bytes) {
  return look::bytes_text(static_cast<double>(bytes));
}

std::string line(const MigrationProgress& progress) {
  const domain::JobStats& stats = progress.stats;
  if (stats.total == 0) return "preparing";
  std::string text =
      fmt::format("{:6.1f} s  {:3} %  {} left  {}/s  pass {}", stats.elapsed_s, stats.percent(),
                  size_text(stats.remaining), size_text(stats.rate), stats.passes);
  if (progress.left_s) text += fmt::format("  done in {:.0f} s", std::ceil(*progress.left_s));
  return text;
}

const char* status(const MigrationProgress& progress) {
  return progress.outcome ? name(*progress.outcome) : "running";
}

std::string json_line(const MigrationProgress& progress) {
  const domain::JobStats& stats = progress.stats;
  nlohmann::json json = {
      {"status", status(progress)}, {"error", progress.error}, {"total_s", stats.elapsed_s}};
  if (stats.total > 0) {
    json.update({{"percent", stats.percent()},
                 {"bytes", stats.processed},
                 {"remaining", stats.remaining},
                 {"bytes_per_second", stats.rate},
                 {"passes", stats.passes}});
  }
  if (progress.left_s) json["left_s"] = *progress.left_s;
  if (stats.downtime_ms) json["downtime_ms"] = *stats.downtime_ms;
  return json_text(json);
}

void print_end(const MigrationProgress& progress, bool json) {
  if (json) return print_line(json_line(progress));
  const domain::JobStats& stats = progress.stats;
  fmt::print("migration {}\n", status(progress));
  if (stats.elapsed_s > 0) fmt::print("  total        {:.2f} s\n", stats.elapsed_s);
  if (stats.downtime_ms) fmt::print("  downtime     {:.0f} ms\n", *stats.downtime_ms);
  if (stats.total > 0)
    fmt::print("  moved        {} in {} passes\n", size_text(stats.processed), stats.passes);
}

}  // namespace

int migrate_domain(const DomainOptions& options, const std::string& via, bool json) {
  auto all = configure(options, via);
  if (!all) {
    spdlog::error("{}", all.error().message);
    return kUsage;
  }
  const std::string there = all->to.libvirt;
  const std::string here = options.connect;
  DomainMigration migration(std::move(*all));
  const Interruption interruption({
      .interrupt = [&](const std::string& why) { return !migration.cancel(why); },
      .leave = [] {},  // libvirt's call cannot be interrupted
      .last = [](Outcome, const std::string&) {},
      .asks_monitor = [] { return false; },
      .waits = "libvirt is asked to abort the migration, unless it is too late",
      .leaves = fmt::format(
          "Ask the destination's libvirt first (virsh -c {} domstate {}), then this host's (virsh -c {} "
          "domstate {}): libvirt lets the guest run on one of them only",
          there, options.domain, here, options.domain),
  });
  domain::EventLoop events;
  Result<> done;
  {
    Progress progress([&] { return json ? json_line(migration.progress()) : line(migration.progress()); },
                      json);
    if (auto started = progress.start(); !started) {
      spdlog::error("{}", started.error().message);
      return kFailed;
    }
    done = migration.run();
  }
  print_end(migration.progress(), json);
  if (!done) spdlog::error("{}", done.error().message);
  return interruption.exit_status(*migration.progress().outcome);
}

std::vector<CLI::Option*> add_domain_options(CLI::App& command, DomainOptions& options) {
  std::vector<CLI::Option*> added;
  domain::MigrateOptions& how = options.how;
  const auto option = [&](const char* name, auto& value, const char* what) {
    return added.emplace_back(command.add_option(name, value, what));
  };
  const auto flag = [&](const char* name, bool& value, const char* what) {
    return added.emplace_back(command.add_flag(name, value, what));
  };
  auto* domain = option("DOMAIN", options.domain, "A libvirt domain: name or UUID");
  auto* destination =
      option("DEST", options.destination,
             "Destination: a peer of wherryd, or a libvirt URI such as qemu+ssh://hostb/system");
  domain->needs(destination);
  option("--connect", options.connect, "This host's libvirt (qemu:///system)");
  option("--runtime-dir", options.runtime_dir, "wherryd's runtime directory (/run/wherry)");

  auto* live =
      flag("--live", how.live, "Keep the guest running; otherwise it is stopped for the whole migration");
  auto* offline = flag("--offline", how.offline, "Move only the definition of an inactive domain");
  offline->excludes(live);
  flag("--p2p", how.p2p, "This host's libvirt connects directly to the destination's");
  added.push_back(command.add_flag_callback(
      "--tunnelled",
      [] {
        throw CLI::ValidationError(
            "--tunnelled",
            "the guest's memory would travel in libvirt's connection, and so past Wherry; use virsh");
      },
      "Refused"));
  added.back()->group("");
  auto* persistent =
      flag("--persistent", how.definition.persistent, "Make the domain persistent at the destination");
  flag("--undefinesource", how.definition.undefine_source, "Undefine the domain at the source");
  flag("--suspend", how.suspend, "Leave the guest paused at the destination");
  auto* all = flag("--copy-storage-all", how.storage.copy_all, "Copy disks that are not shared");
  flag("--copy-storage-inc", how.storage.copy_inc, "Copy only their top layer")->excludes(all);
  option("--migrate-disks", how.storage.disks, "The disks to copy, like vda,vdb")
      ->delimiter(',')
      ->allow_extra_args(false);

  auto* postcopy = flag("--postcopy", how.postcopy.allowed, "Allow postcopy");
  flag("--postcopy-after-precopy", how.postcopy.after_precopy, "Start postcopy after the first pass")
      ->needs(postcopy);
  auto* timeout = option("--timeout", options.timeout, "Seconds after which the guest is suspended")
                      ->check(CLI::PositiveNumber)
                      ->needs(live);
  auto* by_suspend = added.emplace_back(command.add_flag_callback(
      "--timeout-suspend", [] {}, "Suspend the guest after --timeout (default)"));
  by_suspend->needs(timeout);
  flag("--timeout-postcopy", how.postcopy.at_timeout, "Start postcopy after --timeout instead")
      ->needs(timeout)
      ->needs(postcopy)
      ->excludes(by_suspend);
  auto* parallel = flag("--parallel", how.parallel.on, "Let QEMU use several connections (multifd)");
  option("--parallel-connections", how.parallel.connections, "Number of these connections")
      ->check(CLI::PositiveNumber)
      ->needs(parallel);
  flag("--compressed", how.compressed, "Let QEMU compress; Wherry cannot parse the stream then");
  flag("--auto-converge", how.auto_converge, "Throttle the guest if it dirties memory too fast");
  option("--bandwidth", how.bandwidth, "Limit in MiB/s")->check(CLI::PositiveNumber);

  option("--dname", options.how.definition.name, "The domain's name at the destination");
  option("--xml", options.xml_file, "File with the domain's definition at the destination");
  option("--persistent-xml", options.persistent_xml_file, "File with its persistent definition there")
      ->needs(persistent);
  auto* tls = flag("--tls", how.tls.on, "TLS between the two QEMUs");
  option("--tls-destination", how.tls.destination, "Name in the certificate to expect (the host of DEST)")
      ->needs(tls);
  flag("--unsafe", how.unsafe, "Migrate even if the disks' cache mode is not safe");
  flag("--abort-on-error", how.abort_on_error, "Abort if a disk of the guest has an I/O error");
  return added;
}

}  // namespace wherry::cli
