#include "qemu-glue/domain/eta.h"

#include <algorithm>
#include <cmath>

namespace wherry::domain {

std::optional<double> Eta::update(double now, std::optional<double> estimate) {
  std::optional<double> end;
  if (estimate) end = now + *estimate;
  if (!end_) {
    end_ = end;
  } else if (end && *end <= *end_) {
    end_ = *end + (*end_ - *end) * std::exp2((last_ - now) / kFall);
    later_.reset();
  } else {
    if (!later_) {
      later_ = now;
      least_.reset();
    }
    if (end) least_ = std::min(*end, least_.value_or(*end));
    if (now - *later_ >= kPatience) {
      end_ = least_;
      later_.reset();
    }
  }
  last_ = now;
  if (!end_) return std::nullopt;
  return std::max(0.0, *end_ - now);
}

}  // namespace wherry::domain
