// A QEMU's monitor that answers as a test says, and remembers what it was told.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "qemu-glue/monitor/monitor.h"
#include "qemu-glue/monitor/qmp.h"

namespace wherry::test {

class ScriptedMonitor : public Monitor {
 public:
  using json = nlohmann::json;
  struct Command {
    std::string name;
    json arguments;
  };

  Result<json> execute(std::string_view command, json arguments, std::chrono::milliseconds) override {
    const std::string name(command);
    told.push_back({name, std::move(arguments)});
    if (refuses.contains(name)) return fail("{}: refused", name);
    const auto found = answers.find(name);
    if (found == answers.end()) return json::object();
    std::deque<json>& left = found->second;
    json answer = left.front();
    if (left.size() > 1) left.pop_front();
    return answer;
  }
  using Monitor::stopped;

  // As Qmp::next_event(), but for the waiting.
  std::optional<QmpEvent> next_event(std::chrono::milliseconds) {
    if (events.empty()) return std::nullopt;
    QmpEvent event = std::move(events.front());
    events.pop_front();
    return event;
  }

  // query-migrate and query-status say these, one after the other.
  void migrates(const std::vector<std::string>& statuses) { say("query-migrate", statuses); }
  void guest_is(const std::vector<std::string>& statuses) { say("query-status", statuses); }
  size_t count(const std::string& name) const {
    return static_cast<size_t>(
        std::count_if(told.begin(), told.end(), [&](const Command& each) { return each.name == name; }));
  }
  bool was_told(const std::string& name) const { return count(name) > 0; }

  std::map<std::string, std::deque<json>> answers;  // to a command, in order; the last one stays. Else: {}
  std::set<std::string> refuses;                    // commands
  std::vector<Command> told;
  std::deque<QmpEvent> events;

 private:
  void say(const std::string& command, const std::vector<std::string>& statuses) {
    answers[command].clear();
    for (const std::string& status : statuses) answers[command].push_back({{"status", status}});
  }
};

}  // namespace wherry::test
