// The members of a JSON object that a stranger wrote.
//
// One that is absent or null is nothing. One of another type, or out of range, is nothing as well, and an
// error that names it by its path, like "lanes[1].bytes"; the first is kept.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace wherry::look {

class Fields {
 public:
  // Both must outlive it.
  Fields(const nlohmann::json& json, std::optional<Error>& error) : Fields(&json, "", error) {}

  // 0 to 1e18, so that what is computed of it is finite.
  std::optional<double> number(const std::string& name) const;
  std::optional<std::string> text(const std::string& name) const;
  std::optional<bool> flag(const std::string& name) const;
  std::optional<Fields> object(const std::string& name) const;
  // Of objects; empty if there is none.
  std::vector<Fields> list(const std::string& name) const;
  std::vector<std::string> names() const;

  // Makes the member an error.
  void refuse(const std::string& name, const std::string& why) const;

 private:
  Fields(const nlohmann::json* json, std::string path, std::optional<Error>& error);
  const nlohmann::json* find(const std::string& name) const;
  void refuse_type(const std::string& name, const char* expected) const;

  const nlohmann::json* json_;  // an object; nullptr: it was none
  std::string path_;            // before the name of a member
  std::optional<Error>* error_;
};

}  // namespace wherry::look
