#include "qemu-glue/domain/libvirt_source.h"

#include <charconv>
#include <filesystem>
#include <fstream>

#include "qemu-glue/domain/job_stats.h"
#include "qemu-glue/monitor/command_line.h"
#include "qemu-glue/monitor/migration_status.h"

namespace wherry::domain {
namespace {

using nlohmann::json;

const char* status_of(int type, bool guest_runs) {
  switch (type) {
    case VIR_DOMAIN_JOB_COMPLETED:
      return "completed";
    case VIR_DOMAIN_JOB_FAILED:
      return "failed";
    case VIR_DOMAIN_JOB_CANCELLED:
      return "cancelled";
    default:
      return guest_runs ? "active" : "device";
  }
}

}  // namespace

json as_query_migrate(int type, const TypedParams& figures, bool guest_runs) {
  if (!is_migration_out(figures)) return {{"status", "none"}};
  const auto number = [&figures](const char* name) { return figures.number(name).value_or(0); };
  json answer = {{"status", status_of(type, guest_runs)},
                 {"ram",
                  {{"remaining", number(VIR_DOMAIN_JOB_MEMORY_REMAINING)},
                   {"dirty-sync-count", number(VIR_DOMAIN_JOB_MEMORY_ITERATION)},
                   {"dirty-pages-rate", number(VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE)},
                   {"page-size", number(VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE)},
                   {"mbps", static_cast<double>(number(VIR_DOMAIN_JOB_MEMORY_BPS)) * 8e-6}}}};
  // While the guest runs it is what QEMU expects.
  const auto downtime = figures.number(VIR_DOMAIN_JOB_DOWNTIME);
  if (type == VIR_DOMAIN_JOB_COMPLETED && downtime) answer["downtime"] = *downtime;
  return answer;
}

json as_query_cpus_fast(pid_t process) {
  json answer = json::array();
  std::error_code error;
  const auto tasks = std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process), error);
  for (auto task = begin(tasks); !error && task != end(tasks); task.increment(error)) {
    std::string name;
    std::getline(std::ifstream(task->path() / "comm"), name);
    const std::string number = task->path().filename();
    pid_t thread = 0;
    std::from_chars(number.data(), number.data() + number.size(), thread);
    if (name.starts_with("CPU ") && thread > 0) answer.push_back({{"thread-id", thread}});
  }
  return answer;
}

Result<std::unique_ptr<LibvirtSource>> LibvirtSource::open(const std::string& uri, pid_t qemu) {
  auto command_line = read_command_line(qemu);
  if (!command_line) return pass_on(command_line);
  const std::string uuid(argument_of(*command_line, "uuid"));
  if (uuid.empty()) return fail("process {} is not a QEMU that libvirt started (no -uuid)", qemu);
  auto connection = connect(uri);
  if (!connection) return pass_on(connection);
  auto domain = find_domain(*connection, uuid);
  if (!domain) return fail("the domain of process {}: {}", qemu, domain.error().message);
  std::unique_ptr<LibvirtSource> monitor(
      new LibvirtSource(std::move(*connection), std::move(*domain), qemu));
  auto job = monitor->query_migrate();
  if (!job) return pass_on(job);
  if (qemu::is_over(qemu::phase_of(*job)))
    return fail("libvirt does not migrate the domain {} (its migration: {})", uuid,
                (*job)["status"].get<std::string>());
  return monitor;
}

LibvirtSource::LibvirtSource(Connection connection, Domain domain, pid_t qemu)
    : connection_(std::move(connection)), domain_(std::move(domain)), qemu_(qemu) {
  using Shared = std::shared_ptr<Heard>;
  const virConnectDomainEventCallback noted = [](virConnectPtr, virDomainPtr, int event, int, void* shared) {
    Heard& heard = **static_cast<Shared*>(shared);
    std::lock_guard lock(heard.mutex);
    if (event == VIR_DOMAIN_EVENT_SUSPENDED) heard.stop = std::chrono::steady_clock::now();
    heard.any = true;
    heard.news.notify_all();
    return 0;
  };
  // Where it fails, no more than the time of the stop is unknown.
  auto shared = std::make_unique<Shared>(heard_);
  callback_ = virConnectDomainEventRegisterAny(
      connection_.get(), domain_.get(), VIR_DOMAIN_EVENT_ID_LIFECYCLE,
      VIR_DOMAIN_EVENT_CALLBACK(reinterpret_cast<void (*)()>(noted)), shared.get(),
      [](void* theirs) { delete static_cast<Shared*>(theirs); });
  if (callback_ >= 0) (void)shared.release();
}

LibvirtSource::~LibvirtSource() {
  if (callback_ >= 0) virConnectDomainEventDeregisterAny(connection_.get(), callback_);
}

bool LibvirtSource::wait_event(std::chrono::milliseconds longest) {
  std::unique_lock lock(heard_->mutex);
  if (!heard_->news.wait_for(lock, longest, [this] { return heard_->any; })) return false;
  heard_->any = false;
  const auto stop = std::exchange(heard_->stop, std::nullopt);
  lock.unlock();
  if (stop) stopped(std::chrono::duration<double>(std::chrono::steady_clock::now() - *stop).count());
  return true;
}

Result<json> LibvirtSource::execute(std::string_view command, json arguments, std::chrono::milliseconds) {
  if (command == "query-migrate") return query_migrate();
  if (command == "query-cpus-fast") return as_query_cpus_fast(qemu_);
  if (command == "query-migrate-parameters") {
    auto limit = downtime_limit();
    if (!limit) return pass_on(limit);
    return json{{"downtime-limit", *limit}};
  }
  if (command == "migrate-set-parameters") {
    if (auto set = set_downtime_limit(arguments.value("downtime-limit", uint64_t{0})); !set)
      return pass_on(set);
    return json::object();
  }
  if (command == "migrate-start-postcopy") {
    if (virDomainMigrateStartPostCopy(domain_.get(), 0) < 0) return fail("libvirt: {}", last_error());
    return json::object();
  }
  return fail("libvirt has no call for {}", command);
}

Result<json> LibvirtSource::query_migrate() {
  int state = VIR_DOMAIN_NOSTATE;
  if (virDomainGetState(domain_.get(), &state, nullptr, 0) < 0) return fail("libvirt: {}", last_error());
  constexpr unsigned kEnded = VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED;
  for (const unsigned flags : {0U, kEnded}) {
    int type = VIR_DOMAIN_JOB_NONE;
    TypedParams figures;
    const int got = virDomainGetJobStats(domain_.get(), &type, figures.make(), figures.made(), flags);
    // A domain that does not run any more has only what its last job came to.
    if (got < 0 && flags == kEnded) return fail("libvirt: {}", last_error());
    if (got == 0 && type != VIR_DOMAIN_JOB_NONE)
      return as_query_migrate(type, figures, state == VIR_DOMAIN_RUNNING);
  }
  return json{{"status", "none"}};
}

Result<uint64_t> LibvirtSource::downtime_limit() {
  unsigned long long limit = 0;
  if (virDomainMigrateGetMaxDowntime(domain_.get(), &limit, 0) < 0) return fail("libvirt: {}", last_error());
  return limit;
}

Result<> LibvirtSource::set_downtime_limit(uint64_t milliseconds) {
  auto now = downtime_limit();
  if (!now) return pass_on(now);
  if (set_ && *set_ != *now)
    return fail("the downtime limit is left as somebody else has set it through libvirt, at {} ms", *now);
  if (virDomainMigrateSetMaxDowntime(domain_.get(), milliseconds, 0) < 0)
    return fail("libvirt: {}", last_error());
  set_ = milliseconds;
  return {};
}

}  // namespace wherry::domain
