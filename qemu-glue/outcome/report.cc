#include "qemu-glue/outcome/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/errno.h"

namespace wherry {

namespace {

nlohmann::json downtime_json(const convergence::Downtime& downtime) {
  return {{"pages", downtime.pages * 1000},
          {"placed", downtime.placed * 1000},
          {"start", downtime.start * 1000},
          {"total", downtime.total() * 1000}};
}

}  // namespace

std::string Report::transport() const {
  const auto over_tcp =
      std::count_if(lanes.begin(), lanes.end(), [](const Lane& lane) { return !lane.no_rdma.empty(); });
  if (lanes.empty()) return "";
  if (static_cast<size_t>(over_tcp) == lanes.size()) return "tcp";
  return over_tcp == 0 ? "rdma" : "mixed";
}

nlohmann::json Report::to_json() const {
  nlohmann::json lanes_json = nlohmann::json::array();
  for (const Lane& lane : lanes) {
    nlohmann::json one = {{"peer", lane.peer},
                          {"transport", lane.no_rdma.empty() ? "rdma" : "tcp"},
                          {"lost", lane.lost},
                          {"reconnects", 0}};
    if (lane.sent) one["bytes"] = *lane.sent;
    if (lane.written) one["written"] = *lane.written;
    if (lane.port) {
      one["port"] = {{"device", lane.port->device},
                     {"number", lane.port->number},
                     {"rate", lane.port->rate},
                     {"mtu", lane.port->mtu}};
    }
    if (!lane.no_rdma.empty()) one["no_rdma"] = lane.no_rdma;
    lanes_json.push_back(std::move(one));
  }
  nlohmann::json points = nlohmann::json::array();
  for (const Point& point : timeline) {
    points.push_back({{"t", point.t},
                      {"goodput", point.goodput},
                      {"in_flight", point.in_flight},
                      {"encoding", point.encoding}});
    nlohmann::json& one = points.back();
    if (point.ratio) one["ratio"] = *point.ratio;
    if (point.link_rate) one["link_rate"] = *point.link_rate;
    if (point.remaining) one["remaining"] = *point.remaining;
    if (point.dirty_rate) one["dirty_rate"] = *point.dirty_rate;
    if (point.throttle) one["throttle"] = *point.throttle;
    if (point.predicted_ms) one["predicted_ms"] = *point.predicted_ms;
  }
  nlohmann::json json = {{"role", role},
                         {"status", status()},
                         {"error", error},
                         {"uri", uri},
                         {"transport", transport()},
                         {"placement", placement},
                         {"placement_reason", placement_reason},
                         {"total_s", total_s},
                         {"wire_bytes", wire_bytes},
                         {"guest_bytes", guest_bytes},
                         {"disk_bytes", disk_bytes},
                         {"pages",
                          {{"zero", pages.zero},
                           {"same", pages.same},
                           {"delta", pages.delta},
                           {"zstd", pages.zstd},
                           {"raw", pages.raw}}},
                         {"history_bytes", history_bytes},
                         {"history_budget", history_budget},
                         {"lanes", lanes_json},
                         {"opaque", opaque},
                         {"in_flight_max", in_flight_max},
                         {"in_flight_bound", in_flight_bound},
                         {"timeline", points}};
  if (bandwidth > 0) json["bandwidth"] = bandwidth;
  if (asked_again) json["asked_again"] = *asked_again;
  if (switchover_ms) json["switchover_ms"] = *switchover_ms;
  if (target_ms > 0) json["target_ms"] = target_ms;
  if (predicted) json["downtime"]["predicted"] = downtime_json(*predicted);
  if (measured && switchover_ms) {
    convergence::Downtime all = *measured;
    all.start = std::max(0.0, *switchover_ms / 1000 - all.total());
    json["downtime"]["measured"] = downtime_json(all);
  }
  if (throttle_peak) {
    json["throttle"] = {{"peak_percent", *throttle_peak},
                        {"mean_percent", *throttle_mean},
                        {"by", throttle_by},
                        {"reason", throttle_reason}};
  }
  for (const Message& message : messages)
    json["messages"].push_back({{"t", message.t}, {"text", message.text}});
  if (remaining) json["remaining"] = *remaining;
  if (passes) json["passes"] = *passes;
  return json;
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
