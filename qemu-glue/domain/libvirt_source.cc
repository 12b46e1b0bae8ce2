#include "qemu-glue/domain/libvirt_source.h"

#include <charconv>
#include <filesystem>
#include <fstream>

#include "qemu-glue/domain/job_stats.h"
#include "qemu-glue/monitor/command_line.h"
#include "qemu-glue/monitor/guest_page.h"

namespace wherry::domain {
namespace {

using qemu::MigrationFigures;
using qemu::MigrationPhase;

MigrationPhase phase_of_job(int type, bool guest_runs) {
  switch (type) {
    case VIR_DOMAIN_JOB_COMPLETED:
      return MigrationPhase::completed;
    case VIR_DOMAIN_JOB_FAILED:
      return MigrationPhase::failed;
    case VIR_DOMAIN_JOB_CANCELLED:
      return MigrationPhase::cancelled;
    default:
      return guest_runs ? MigrationPhase::active : MigrationPhase::switches;
  }
}

}  // namespace

MigrationFigures figures_of_job(int type, const TypedParams& figures, bool guest_runs) {
  if (!is_migration_out(figures)) return {};
  const auto number = [&figures](const char* name) {
    return static_cast<double>(figures.number(name).value_or(0));
  };
  MigrationFigures known;
  known.phase = phase_of_job(type, guest_runs);
  known.passes = figures.number(VIR_DOMAIN_JOB_MEMORY_ITERATION).value_or(0);
  known.remaining = number(VIR_DOMAIN_JOB_MEMORY_REMAINING);
  known.dirty_pages = number(VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE);
  known.page_size = qemu::checked_page_size(number(VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE));
  known.rate = number(VIR_DOMAIN_JOB_MEMORY_BPS);
  // Before the end, libvirt gives the downtime that QEMU expects.
  const auto downtime = figures.number(VIR_DOMAIN_JOB_DOWNTIME);
  if (type == VIR_DOMAIN_JOB_COMPLETED && downtime) known.downtime_ms = static_cast<double>(*downtime);
  return known;
}

std::vector<pid_t> vcpu_threads_of(pid_t process) {
  std::vector<pid_t> threads;
  std::error_code error;
  const auto tasks = std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process), error);
  for (auto task = begin(tasks); !error && task != end(tasks); task.increment(error)) {
    std::string name;
    std::getline(std::ifstream(task->path() / "comm"), name);
    const std::string number = task->path().filename();
    pid_t thread = 0;
    std::from_chars(number.data(), number.data() + number.size(), thread);
    if (name.starts_with("CPU ") && thread > 0) threads.push_back(thread);
  }
  return threads;
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
  std::unique_ptr<LibvirtSource> source(new LibvirtSource(std::move(*connection), std::move(*domain), qemu));
  auto job = source->figures();
  if (!job) return pass_on(job);
  if (qemu::is_over(job->phase))
    return fail("libvirt does not migrate the domain {} (its migration: {})", uuid,
                qemu::name_of(job->phase));
  return source;
}

LibvirtSource::LibvirtSource(Connection connection, Domain domain, pid_t qemu)
    : connection_(std::move(connection)), domain_(std::move(domain)), qemu_(qemu) {
  using Shared = std::shared_ptr<Heard>;
  const virConnectDomainEventCallback noted = [](virConnectPtr, virDomainPtr, int event, int, void* shared) {
    Heard& heard = **static_cast<Shared*>(shared);
    Lock lock(heard.mutex);
    if (event == VIR_DOMAIN_EVENT_SUSPENDED) heard.stop = std::chrono::steady_clock::now();
    heard.any = true;
    heard.news.notify_all();
    return 0;
  };
  // If it fails, only the time of the stop is unknown.
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
  const auto until = std::chrono::steady_clock::now() + longest;
  Heard& heard = *heard_;
  Lock lock(heard.mutex);
  while (!heard.any && heard.news.wait_until(heard.mutex, until)) continue;
  if (!std::exchange(heard.any, false)) return false;
  const auto stop = std::exchange(heard.stop, std::nullopt);
  lock.unlock();
  if (stop && on_stop_)
    on_stop_(std::chrono::duration<double>(std::chrono::steady_clock::now() - *stop).count());
  return true;
}

Result<MigrationFigures> LibvirtSource::figures(std::chrono::milliseconds) {
  int state = VIR_DOMAIN_NOSTATE;
  if (virDomainGetState(domain_.get(), &state, nullptr, 0) < 0) return fail("libvirt: {}", last_error());
  constexpr unsigned kEnded = VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED;
  for (const unsigned flags : {0U, kEnded}) {
    int type = VIR_DOMAIN_JOB_NONE;
    TypedParams figures;
    const int got = virDomainGetJobStats(domain_.get(), &type, figures.make(), figures.made(), flags);
    // For a domain that does not run any more, libvirt only has what its last job came to.
    if (got < 0 && flags == kEnded) return fail("libvirt: {}", last_error());
    if (got == 0 && type != VIR_DOMAIN_JOB_NONE)
      return figures_of_job(type, figures, state == VIR_DOMAIN_RUNNING);
  }
  return MigrationFigures{};
}

Result<std::vector<pid_t>> LibvirtSource::thread_of_each_vcpu() {
  return vcpu_threads_of(qemu_);
}

Result<> LibvirtSource::start_postcopy() {
  if (virDomainMigrateStartPostCopy(domain_.get(), 0) < 0) return fail("libvirt: {}", last_error());
  return {};
}

Result<Monitor*> LibvirtSource::monitor_for(std::string_view command) {
  return fail("libvirt has no call for {}", command);
}

Result<convergence::SwitchoverLimits> LibvirtSource::limits() {
  auto limit = downtime_limit();
  if (!limit) return pass_on(limit);
  return convergence::SwitchoverLimits{.downtime_ms = *limit, .bandwidth = {}};
}

Result<uint64_t> LibvirtSource::downtime_limit() {
  unsigned long long limit = 0;
  if (virDomainMigrateGetMaxDowntime(domain_.get(), &limit, 0) < 0) return fail("libvirt: {}", last_error());
  return limit;
}

Result<> LibvirtSource::set_limits(const convergence::SwitchoverLimits& limits, std::chrono::milliseconds) {
  if (!limits.downtime_ms) return {};
  auto now = downtime_limit();
  if (!now) return pass_on(now);
  if (set_ && *set_ != *now)
    return fail("the downtime limit is left as somebody else has set it through libvirt, at {} ms", *now);
  if (virDomainMigrateSetMaxDowntime(domain_.get(), *limits.downtime_ms, 0) < 0)
    return fail("libvirt: {}", last_error());
  set_ = limits.downtime_ms;
  return {};
}

}  // namespace wherry::domain
