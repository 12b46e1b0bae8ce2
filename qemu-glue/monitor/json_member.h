// What QEMU's answers have, or have not: nothing that comes from a monitor is taken for granted.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace wherry::qemu {

// nullptr if `object` is none, or has no such member; valid as long as the object is and stays as it is.
inline const nlohmann::json* member(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// nullptr also if the member is no text.
inline const std::string* text_member(const nlohmann::json& object, const char* key) {
  const nlohmann::json* value = member(object, key);
  return value == nullptr ? nullptr : value->get_ptr<const std::string*>();
}

// 0 if there is no such number.
inline double number_member(const nlohmann::json& object, const char* key) {
  const nlohmann::json* value = member(object, key);
  return value != nullptr && value->is_number() ? value->get<double>() : 0;
}

}  // namespace wherry::qemu
