#include "qemu-glue/outcome.h"

#include "transport/control.h"

namespace wherry {

const char* name(Outcome outcome) {
  switch (outcome) {
    case Outcome::completed:
      return "completed";
    case Outcome::failed:
      return "failed";
    case Outcome::unknown:
      break;
  }
  return "unknown";
}

std::optional<Outcome> outcome_named(std::string_view text) {
  for (const Outcome outcome : {Outcome::completed, Outcome::failed, Outcome::unknown}) {
    if (text == name(outcome)) return outcome;
  }
  return std::nullopt;
}

nlohmann::json to_account(const Ended& ended) {
  return {{"outcome", name(ended.outcome)}, {"detail", ended.detail}};
}

std::optional<Ended> told_outcome(const nlohmann::json& account) {
  const auto outcome = member<std::string>(account, "outcome");
  const auto detail = member<std::string>(account, "detail");
  if (!outcome || !detail) return std::nullopt;
  const auto known = outcome_named(*outcome);
  if (!known || *known == Outcome::unknown) return std::nullopt;
  return Ended{*known, *detail};
}

}  // namespace wherry
