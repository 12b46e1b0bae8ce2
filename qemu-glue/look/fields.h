// Reads the members of an untrusted JSON object.
//
// A member that is absent or null yields nothing. A member of another type or out of range yields nothing as
// well, and an error with its path, like "lanes[1].bytes". The first error is kept.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace wherry::look {

class Fields {
 public:
  // Both arguments must outlive this object.
  Fields(const nlohmann::json& json, std::optional<Error>& error) : Fields(&json, "", error) {}

  // From 0 to 1e18, so that results computed from it are finite.
  std::optional<double> number(const std::string& name) const;
  std::optional<std::string> text(const std::string& name) const;
  std::optional<bool> flag(const std::string& name) const;
  std::optional<Fields> object(const std::string& name) const;
  // A list of objects; empty if the member is absent.
  std::vector<Fields> list(const std::string& name) const;
  std::vector<std::string> names() const;

  // Reports the member as an error.
  void refuse(const std::string& name, const std::string& why) const;

 private:
  Fields(const nlohmann::json* json, std::string path, std::optional<Error>& error);
  const nlohmann::json* find(const std::string& name) const;
  void refuse_type(const std::string& name, const char* expected) const;

  const nlohmann::json* json_;  // nullptr if it is not an object
  std::string path_;            // prefix of a member's name in errors
  std::optional<Error>* error_;
};

}  // namespace wherry::look
