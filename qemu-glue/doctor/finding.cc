#include "qemu-glue/doctor/finding.h"

#include <fmt/core.h>

#include <algorithm>

namespace wherry::doctor {
namespace {

const char* name(Level level) {
  return level == Level::ok ? "ok" : level == Level::note ? "note" : "problem";
}

}  // namespace

bool has_problem(const Findings& findings) {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& each) { return each.level == Level::problem; });
}

std::string as_text(const Findings& findings) {
  size_t width = 0;
  for (const Finding& each : findings) width = std::max(width, each.about.size());
  std::string text;
  for (const Finding& each : findings) {
    std::string line = fmt::format("{:<7}  {:<{}}  {}", name(each.level), each.about, width, each.found);
    if (!each.remedy.empty()) line += " -> " + each.remedy;
    std::replace_if(
        line.begin(), line.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    text += line + '\n';
  }
  return text;
}

nlohmann::json as_json(const Findings& findings) {
  nlohmann::json all = nlohmann::json::array();
  for (const Finding& each : findings) {
    all.push_back({{"level", name(each.level)}, {"about", each.about}, {"found", each.found}});
    if (!each.remedy.empty()) all.back()["remedy"] = each.remedy;
  }
  return all;
}

}  // namespace wherry::doctor
