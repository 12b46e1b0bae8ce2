#include "qemu-glue/look/table.h"

#include <algorithm>
#include <array>

#include "qemu-glue/look/fields.h"
#include "qemu-glue/look/units.h"

namespace wherry::look {
namespace {

constexpr size_t kColumns = 10;
using Row = std::array<std::string, kColumns>;

constexpr size_t kTextColumns = 2;  // left-aligned, unlike figures
constexpr size_t kLongestPeer = 40;

Row heads() {
  return {"PEER",  "ROLE",  "PASS",     "REMAINING", "GOODPUT",
          "RATIO", "DIRTY", "THROTTLE", "DOWNTIME",  "IN FLIGHT"};
}

Row row(const Fields& migration, const char* role) {
  Row row;
  row.fill("-");
  row[0] = migration.text("peer").value_or("?").substr(0, kLongestPeer);
  std::replace_if(
      row[0].begin(), row[0].end(), [](char c) { return c <= 0x20 || c > 0x7e; }, '?');
  row[1] = role;
  if (migration.flag("used") == false) row[2] = "waiting";
  const auto progress = migration.object("progress");
  if (!progress) return row;
  if (const auto passes = progress->number("passes")) row[2] = fmt::format("{:.0f}", *passes);
  const auto figure = [&](size_t column, const std::optional<Fields>& of, const char* name, Unit unit) {
    const auto amount = of ? of->number(name) : std::nullopt;
    if (amount) row[column] = amount_text(unit, *amount);
  };
  const auto now = progress->object("now");
  figure(3, progress, "remaining", Unit::bytes);
  figure(3, now, "remaining", Unit::bytes);
  figure(4, now, "goodput", Unit::bytes_per_second);
  figure(5, now, "ratio", Unit::times);
  figure(6, now, "dirty_rate", Unit::bytes_per_second);
  figure(7, now, "throttle", Unit::percent);
  figure(8, now, "predicted_ms", Unit::milliseconds);
  figure(9, now, "in_flight", Unit::bytes);
  return row;
}

std::vector<std::string> lines(const std::vector<Row>& rows, size_t width) {
  std::vector<std::string> lines(rows.size());
  for (size_t column = 0; column < kColumns; ++column) {
    size_t widest = 0;
    for (const Row& row : rows) widest = std::max(widest, row[column].size());
    const size_t before = lines.front().size();
    if (before + 2 + widest > width && column > 0) break;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (column > 0) lines[i] += "  ";
      lines[i] += column < kTextColumns ? fmt::format("{:<{}}", rows[i][column], widest)
                                        : fmt::format("{:>{}}", rows[i][column], widest);
    }
  }
  return lines;
}

}  // namespace

std::vector<std::string> table(const nlohmann::json& status, size_t width, size_t height) {
  std::optional<Error> ignored;  // malformed members are shown as unknown
  const Fields fields(status, ignored);
  std::vector<Row> rows;
  for (const Fields& route : fields.list("routes")) rows.push_back(row(route, "source"));
  for (const Fields& arrival : fields.list("arrivals")) rows.push_back(row(arrival, "destination"));
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a[0] < b[0]; });
  std::string rest = rows.empty() ? "no migrations"
                                  : fmt::format("{} migration{}", rows.size(), rows.size() == 1 ? "" : "s");
  rest += fmt::format(", {:.0f} connections to libvirt", fields.number("libvirt_connections").value_or(0));
  std::vector<std::string> all;
  if (!rows.empty()) {
    rows.insert(rows.begin(), heads());
    all = lines(rows, width);
  }
  if (all.size() + 1 > height) {
    all.resize(height > 0 ? height - 1 : 0);
    rest += ", not all shown";
  }
  all.push_back(rest);
  for (std::string& line : all) line = line.substr(0, width);
  return all;
}

}  // namespace wherry::look
