// How a migration ended. Both ends, reports and exit statuses use this type.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace wherry {

enum class Outcome {
  completed,  // the guest is at the destination, and the source knows
  failed,     // the guest is at the source
  cancelled,  // the guest is at the source: a signal, QEMU's monitor or libvirt cancelled the migration
  unknown,    // this end cannot tell; the detail says whom to ask
};

// Its name in reports and between the two ends.
const char* name(Outcome outcome);
std::optional<Outcome> outcome_named(std::string_view name);

struct Ended {
  Outcome outcome = Outcome::failed;
  std::string detail;  // for the operator; empty if the migration completed
};

// Combines what the two ends know. If one knows nothing, the other's outcome counts. If they contradict each
// other, the outcome is unknown. If one says failed and the other cancelled, it is cancelled.
std::optional<Ended> agree(std::optional<Ended> one, std::optional<Ended> other);

// Key of the source's account (the map in the frame done). It is present if the source's QEMU has left and
// cannot have read the destination's SHUT.
inline constexpr const char* kLeftWithoutWord = "left_without_word";
// The keys outcome and detail of an account.
nlohmann::json to_account(const std::optional<Ended>& known);
// Nothing if the other end does not know the outcome.
std::optional<Ended> told_outcome(const nlohmann::json& account);

}  // namespace wherry
