#include "qemu-glue/look/fields.h"

namespace wherry::look {
namespace {

constexpr double kLargest = 1e18;

}  // namespace

Fields::Fields(const nlohmann::json* json, std::string path, std::optional<Error>& error)
    : json_(json->is_object() ? json : nullptr), path_(std::move(path)), error_(&error) {
  if (json_ || *error_) return;
  const std::string of = path_.empty() ? "" : path_.substr(0, path_.size() - 1) + ": ";
  *error_ = Error{fmt::format("{}expected an object, found: {}", of, json->type_name())};
}

const nlohmann::json* Fields::find(const std::string& name) const {
  if (!json_) return nullptr;
  const auto found = json_->find(name);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

void Fields::refuse(const std::string& name, const std::string& why) const {
  if (!*error_) *error_ = Error{fmt::format("{}{}: {}", path_, name, why)};
}

void Fields::refuse_type(const std::string& name, const char* expected) const {
  refuse(name, fmt::format("expected {}, found: {}", expected, find(name)->type_name()));
}

std::optional<double> Fields::number(const std::string& name) const {
  const auto* found = find(name);
  if (!found) return {};
  if (!found->is_number()) {
    refuse_type(name, "a number");
    return {};
  }
  const auto value = found->get<double>();
  if (value >= 0 && value <= kLargest) return value;
  refuse(name, fmt::format("{} is not between 0 and {}", value, kLargest));
  return {};
}

std::optional<std::string> Fields::text(const std::string& name) const {
  const auto* found = find(name);
  if (!found) return {};
  if (found->is_string()) return found->get<std::string>();
  refuse_type(name, "a string");
  return {};
}

std::optional<bool> Fields::flag(const std::string& name) const {
  const auto* found = find(name);
  if (!found) return {};
  if (found->is_boolean()) return found->get<bool>();
  refuse_type(name, "true or false");
  return {};
}

std::optional<Fields> Fields::object(const std::string& name) const {
  const auto* found = find(name);
  if (!found) return {};
  return Fields(found, path_ + name + ".", *error_);
}

std::vector<Fields> Fields::list(const std::string& name) const {
  const auto* found = find(name);
  if (!found) return {};
  std::vector<Fields> all;
  if (!found->is_array()) {
    refuse_type(name, "a list");
    return all;
  }
  all.reserve(found->size());
  for (size_t i = 0; i < found->size(); ++i)
    all.push_back(Fields(&(*found)[i], fmt::format("{}{}[{}].", path_, name, i), *error_));
  return all;
}

std::vector<std::string> Fields::names() const {
  std::vector<std::string> all;
  if (!json_) return all;
  for (const auto& member : json_->items()) all.push_back(member.key());
  return all;
}

}  // namespace wherry::look
