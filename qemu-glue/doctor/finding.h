// A finding: what `wherry doctor` reports about one thing that it checked.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace wherry::doctor {

enum class Level {
  ok,
  note,     // works, but not as well as it could; or only root can check it
  problem,  // a migration will fail
};

struct Finding {
  Level level;
  std::string about;
  std::string found;
  std::string remedy;  // a command or a setting; empty if level is ok
};

using Findings = std::vector<Finding>;

inline Finding ok(std::string about, std::string found) {
  return {Level::ok, std::move(about), std::move(found), {}};
}
inline Finding note(std::string about, std::string found, std::string remedy) {
  return {Level::note, std::move(about), std::move(found), std::move(remedy)};
}
inline Finding problem(std::string about, std::string found, std::string remedy) {
  return {Level::problem, std::move(about), std::move(found), std::move(remedy)};
}

bool has_problem(const Findings& findings);

// One line for each finding, in columns. ASCII only: other characters, for example of a peer's message,
// become '?'.
std::string as_text(const Findings& findings);
// [{"level": "ok" | "note" | "problem", "about": …, "found": …, "remedy": … unless ok}]
nlohmann::json as_json(const Findings& findings);

}  // namespace wherry::doctor
