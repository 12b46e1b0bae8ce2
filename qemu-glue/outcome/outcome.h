// How a migration ended: one type for both ends, for reports and for exit statuses.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace wherry {

enum class Outcome {
  completed,  // the guest is at the destination, and the source knows
  failed,     // the guest is at the source
  cancelled,  // the same, and somebody wished it so
  unknown,    // this end cannot tell; the detail says whom to ask
};

// The word for it in reports and between the two ends.
const char* name(Outcome outcome);
std::optional<Outcome> outcome_named(std::string_view name);

struct Ended {
  Outcome outcome = Outcome::failed;
  std::string detail;  // for the operator; empty if it completed
};

// What two who looked from different sides come to together. Nothing: one knows nothing, so the other's
// counts. Where they contradict each other, nobody knows. That it was cancelled, only one of them may know.
std::optional<Ended> agree(std::optional<Ended> one, std::optional<Ended> other);

// A key of the source's account, which is there if its QEMU has left and cannot have heard the destination's
// word.
inline constexpr const char* kLeftWithoutWord = "left_without_word";
// As the two ends tell each other, under the keys outcome and detail.
nlohmann::json to_account(const std::optional<Ended>& known);
// Nothing: the other end knows nothing.
std::optional<Ended> told_outcome(const nlohmann::json& account);

}  // namespace wherry
