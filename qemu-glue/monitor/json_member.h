// Reads members of QEMU's answers, which may lack any member or have another type.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace wherry::qemu {

// nullptr if `object` is not an object or has no such member. Valid until the object changes or is destroyed.
inline const nlohmann::json* member(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// nullptr also if the member is not a string.
inline const std::string* text_member(const nlohmann::json& object, const char* key) {
  const nlohmann::json* value = member(object, key);
  return value == nullptr ? nullptr : value->get_ptr<const std::string*>();
}

// False if there is no such member or it is not a boolean.
inline bool is_set(const nlohmann::json& object, const char* key) {
  const nlohmann::json* value = member(object, key);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

// 0 if there is no such member or it is not a number.
inline double number_member(const nlohmann::json& object, const char* key) {
  const nlohmann::json* value = member(object, key);
  return value != nullptr && value->is_number() ? value->get<double>() : 0;
}

}  // namespace wherry::qemu
