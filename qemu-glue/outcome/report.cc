#include "qemu-glue/outcome/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/errno.h"

namespace wherry {
namespace {

using nlohmann::json;

json json_of(const convergence::Downtime& downtime) {
  return {{"pages", downtime.pages * 1000},
          {"placed", downtime.placed * 1000},
          {"start", downtime.start * 1000},
          {"total", downtime.total() * 1000}};
}

json json_of(const Report::Lane& lane) {
  json all = {{"peer", lane.peer},
              {"transport", lane.no_rdma.empty() ? "rdma" : "tcp"},
              {"lost", lane.lost},
              {"reconnects", 0}};
  if (lane.sent) all["bytes"] = *lane.sent;
  if (lane.written) all["written"] = *lane.written;
  if (lane.port) {
    all["port"] = {{"device", lane.port->device},
                   {"number", lane.port->number},
                   {"rate", lane.port->rate},
                   {"mtu", lane.port->mtu}};
  }
  if (!lane.no_rdma.empty()) all["no_rdma"] = lane.no_rdma;
  return all;
}

json json_of(const Report::Message& message) {
  return {{"t", message.t}, {"text", message.text}};
}

json json_of(const Report::Point& point) {
  json all = {{"t", point.t},
              {"goodput", point.goodput},
              {"in_flight", point.in_flight},
              {"encoding", point.encoding}};
  if (point.ratio) all["ratio"] = *point.ratio;
  if (point.link_rate) all["link_rate"] = *point.link_rate;
  if (point.remaining) all["remaining"] = *point.remaining;
  if (point.dirty_rate) all["dirty_rate"] = *point.dirty_rate;
  if (point.throttle) all["throttle"] = *point.throttle;
  if (point.predicted_ms) all["predicted_ms"] = *point.predicted_ms;
  return all;
}

template <class Each>
json list_of(const std::vector<Each>& items) {
  json all = json::array();
  for (const Each& item : items) all.push_back(json_of(item));
  return all;
}

void add(json& report, const Report::Downtime& downtime) {
  if (downtime.switchover_ms) report["switchover_ms"] = *downtime.switchover_ms;
  if (downtime.target_ms > 0) report["target_ms"] = downtime.target_ms;
  if (downtime.predicted) report["downtime"]["predicted"] = json_of(*downtime.predicted);
  if (downtime.measured && downtime.switchover_ms) {
    convergence::Downtime all = *downtime.measured;
    all.start = std::max(0.0, *downtime.switchover_ms / 1000 - all.total());
    report["downtime"]["measured"] = json_of(all);
  }
}

void add(json& report, const convergence::Throttling& throttle) {
  if (!throttle.percent) return;
  report["throttle"] = {{"peak_percent", throttle.percent->peak},
                        {"mean_percent", throttle.percent->mean},
                        {"by", throttle.by},
                        {"reason", throttle.reason}};
}

void add(json& report, const Report::Traffic& traffic) {
  const PageCounts& pages = traffic.pages;
  report["wire_bytes"] = traffic.wire_bytes;
  report["guest_bytes"] = traffic.guest_bytes;
  report["disk_bytes"] = traffic.disk_bytes;
  report["pages"] = {{"zero", pages.zero},
                     {"same", pages.same},
                     {"delta", pages.delta},
                     {"zstd", pages.zstd},
                     {"raw", pages.raw}};
  if (traffic.asked_again) report["asked_again"] = *traffic.asked_again;
  if (traffic.bandwidth > 0) report["bandwidth"] = traffic.bandwidth;
  report["in_flight_max"] = traffic.in_flight_max;
  report["in_flight_bound"] = traffic.in_flight_bound;
}

}  // namespace

std::string Report::transport() const {
  const auto over_tcp =
      std::count_if(lanes.begin(), lanes.end(), [](const Lane& lane) { return !lane.no_rdma.empty(); });
  if (lanes.empty()) return "";
  if (static_cast<size_t>(over_tcp) == lanes.size()) return "tcp";
  return over_tcp == 0 ? "rdma" : "mixed";
}

json Report::to_json() const {
  json all = {{"role", role},
              {"uri", uri},
              {"status", status()},
              {"error", error()},
              {"total_s", total_s},
              {"transport", transport()},
              {"placement", placement.how},
              {"placement_reason", placement.reason},
              {"history_bytes", history.bytes},
              {"history_budget", history.budget},
              {"lanes", list_of(lanes)},
              {"opaque", opaque},
              {"timeline", list_of(timeline)}};
  if (passes) all["passes"] = *passes;
  if (remaining) all["remaining"] = *remaining;
  if (!messages.empty()) all["messages"] = list_of(messages);
  add(all, downtime);
  add(all, throttle);
  add(all, traffic);
  return all;
}

Result<ReportFile> ReportFile::open(const std::string& path, const Report& report) {
  ReportFile file;
  if (path.empty()) return file;
  file.path_ = path;
  file.file_ = Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file.file_) return fail("cannot write the report to {}: {}", path, reason(errno));
  if (auto written = file.write(report); !written) return pass_on(written);
  return file;
}

Result<> ReportFile::write(const Report& report) {
  if (!file_) return {};
  const std::string text =
      report.to_json().dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (::ftruncate(file_.get(), 0) != 0 && errno != EINVAL) {
    return fail("cannot write the report to {}: {}", path_, reason(errno));
  }
  ::lseek(file_.get(), 0, SEEK_SET);
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(file_.get(), text.data() + done, text.size() - done);
    if (written < 0) return fail("cannot write the report to {}: {}", path_, reason(errno));
    done += static_cast<size_t>(written);
  }
  return {};
}

}  // namespace wherry
