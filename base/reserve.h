// Descriptors in reserve, for work that has to be done even when the process can open no others. Not
// thread-safe.
#pragma once

#include <vector>

#include "base/errno.h"
#include "base/event.h"
#include "base/result.h"

namespace wherry {

class Reserve {
 public:
  Result<> keep(size_t descriptors) {
    kept_ = std::vector<Event>(descriptors);  // eventfds: the cheapest descriptors
    for (const Event& each : kept_) {
      if (each.error()) return fail("cannot keep descriptors in reserve: {}", reason(each.error()));
    }
    return {};
  }
  // Closes them, so that as many others can be opened.
  void release() { kept_.clear(); }

 private:
  std::vector<Event> kept_;
};

}  // namespace wherry
