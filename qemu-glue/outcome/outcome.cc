#include "qemu-glue/outcome/outcome.h"

#include "transport/wire/control.h"

namespace wherry {
namespace {

bool stays(Outcome outcome) {
  return outcome == Outcome::failed || outcome == Outcome::cancelled;
}

}  // namespace

const char* name(Outcome outcome) {
  switch (outcome) {
    case Outcome::completed:
      return "completed";
    case Outcome::failed:
      return "failed";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::unknown:
      break;
  }
  return "unknown";
}

std::optional<Outcome> outcome_named(std::string_view text) {
  for (const Outcome outcome : {Outcome::completed, Outcome::failed, Outcome::cancelled, Outcome::unknown}) {
    if (text == name(outcome)) return outcome;
  }
  return std::nullopt;
}

std::optional<Ended> agree(std::optional<Ended> one, std::optional<Ended> other) {
  if (!one) return other;
  if (!other || one->outcome == other->outcome || one->outcome == Outcome::unknown) return one;
  if (other->outcome == Outcome::unknown) return other;
  if (stays(one->outcome) && stays(other->outcome)) return one->outcome == Outcome::cancelled ? one : other;
  return Ended{
      Outcome::unknown,
      "one QEMU reports the migration as completed and the other as failed: ask both (query-migrate), and "
      "let the guest run on one host only"};
}

nlohmann::json to_account(const std::optional<Ended>& known) {
  if (!known) return nlohmann::json::object();
  return {{"outcome", name(known->outcome)}, {"detail", known->detail}};
}

std::optional<Ended> told_outcome(const nlohmann::json& account) {
  const auto outcome = peer_text(account, "outcome");
  const auto detail = peer_text(account, "detail");
  const auto known = outcome ? outcome_named(*outcome) : std::nullopt;
  if (!known || !detail) return std::nullopt;
  return Ended{*known, *detail};
}

}  // namespace wherry
