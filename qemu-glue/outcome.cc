#include "qemu-glue/outcome.h"

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

}  // namespace wherry
