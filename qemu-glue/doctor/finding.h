// What `wherry doctor` says of one thing that it looked at.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace wherry::doctor {

enum class Level {
  ok,
  note,     // works, but worse than it could; or only root can see it
  problem,  // a migration will fail
};

struct Finding {
  Level level;
  std::string about;
  std::string found;
  std::string remedy;  // a command or a setting; empty if all is well
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

// A line each, in columns. ASCII alone, whatever a file, a peer or a program has said.
std::string as_text(const Findings& findings);
// [{"level": "ok" | "note" | "problem", "about": …, "found": …, "remedy": … unless ok}]
nlohmann::json as_json(const Findings& findings);

}  // namespace wherry::doctor
