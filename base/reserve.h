// Descriptors that are kept for a moment at which there may be no others left. Not thread-safe.
#pragma once

#include <vector>

#include "base/errno.h"
#include "base/event.h"
#include "base/result.h"

namespace wherry {

class Reserve {
 public:
  Result<> keep(size_t descriptors) {
    kept_ = std::vector<Event>(descriptors);  // the cheapest there are
    for (const Event& each : kept_) {
      if (each.error()) return fail("cannot keep descriptors in reserve: {}", reason(each.error()));
    }
    return {};
  }
  // Makes room for as many others.
  void release() { kept_.clear(); }

 private:
  std::vector<Event> kept_;
};

}  // namespace wherry
