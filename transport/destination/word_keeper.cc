#include "transport/destination/word_keeper.h"

#include <algorithm>

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;

// A source that lost its connections comes back within this time: see SourceSession::last_word().
constexpr std::chrono::seconds kComesBack{2};
// For the connection of a source that comes back: see Connections.
constexpr size_t kTellDescriptors = 2;

}  // namespace

Result<> WordKeeper::reserve() {
  return reserve_.keep(kTellDescriptors);
}

LandingSite::Guest WordKeeper::give_up() {
  reserve_.release();
  return site_.give_up();
}

bool WordKeeper::may_come_back(LandingSite::Guest guest) const {
  return guest == LandingSite::Guest::may_be_here || source_holds_ || source_vanished_;
}

// A source that vanished may have sent may_be_there without its arriving. It comes back soon, if at all.
bool WordKeeper::keep(std::chrono::seconds longest) {
  const auto until = Clock::now() + longest;
  LandingSite::Guest guest = site_.give_up();
  if (guest == LandingSite::Guest::may_be_here) {
    word_.wait_closed(until);
    guest = site_.give_up();
  }
  const bool holds = source_holds_ && guest != LandingSite::Guest::in_part;
  if (guest == LandingSite::Guest::may_be_here || holds) return word_.wait_told(until);
  if (!source_vanished_ && !word_.asked()) return false;
  return word_.wait_told(std::min(until, Clock::now() + kComesBack)) ||
         (word_.asked() && word_.wait_told(until));
}

}  // namespace wherry
