#include "transport/flow/chooser.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace wherry {
namespace {

using namespace std::chrono_literals;

// A way's assumed speed, and the part of the bytes that it leaves, until they are measured.
struct Prior {
  std::optional<int> level;
  double bytes_per_second;
  double left;
};
constexpr std::array kLevels{
    Prior{-5, 0.6e9, 0.60}, Prior{-1, 0.5e9, 0.55}, Prior{1, 0.4e9, 0.50},
    Prior{3, 0.2e9, 0.48},  Prior{6, 0.08e9, 0.46}, Prior{9, 0.04e9, 0.45},
};
constexpr Prior kRaw{std::nullopt, 8e9, 1};
constexpr Prior kRemembered{std::nullopt, 3e9, 1};
constexpr double kAgain = 0.1;  // factor on Prior::left for pages that are sent again

constexpr int kFreeLevel = 1;  // up to this level, zstd can use processors that are not idle
constexpr double kWeight = 0.2;
constexpr double kBetter = 1.05;         // factor by which another way must beat the present one
constexpr double kFreeRaw = 1.3;         // factor on the speed of raw pages if they are free (RDMA)
constexpr uint32_t kTry = 32;            // batches, after which another way is tried
constexpr double kWorthTrying = 0.5;     // part of the best speed that a way must promise to be tried
constexpr double kForget = 0.25;         // part of a measurement that is forgotten at each try
constexpr double kForgetSlowness = 0.9;  // part of zstd's slowness that is kept at each try
constexpr auto kAskIdle = 200ms;

}  // namespace

Chooser::Chooser(const Compression& wish, size_t lanes, std::function<double()> idle)
    : wish_(wish), idle_(std::move(idle)), link_(lanes), encodes_(lanes) {
  using Mode = Compression::Mode;
  using History = Encoding::History;
  for (Choice& choice : choices_) {
    const double again = &choice == &choices_.back() ? kAgain : 1;
    const auto add = [&](History history, const Prior& prior) {
      const double left = prior.left * (history == History::kept ? again : 1);
      choice.ways.push_back({.encoding = {history, prior.level, wish_.verify},
                             .usual = 1 / prior.bytes_per_second,
                             .left = left});
    };
    const auto add_levels = [&](History history) {
      if (wish_.level) return add(history, {wish_.level, 0.3e9, 0.5});
      if (wish_.mode != Mode::automatic) return add(history, kLevels[2]);
      for (const Prior& prior : kLevels) add(history, prior);
    };
    switch (wish_.mode) {
      case Mode::automatic:
        add(History::forgotten, kRaw);
        add(History::kept, kRemembered);
        add_levels(History::kept);
        break;
      case Mode::off:
        add(History::forgotten, kRaw);
        break;
      case Mode::zstd:
        add_levels(History::forgotten);
        break;
      case Mode::delta:
        add(History::kept, kRemembered);
        break;
      case Mode::delta_zstd:
        add_levels(History::kept);
        break;
    }
  }
}

// Guest bytes a second of a lane that the network drains at `rate` bytes a second.
double Chooser::speed(const Way& way, const Way& present, double rate) const {
  const double draining = way.left / rate;
  const double speed = 1 / std::pow(std::pow(way.seconds, 4) + std::pow(draining, 4), 0.25);
  const bool takes_idle_ones =
      worth_of_raw_ > 1 ? !is_raw(way) : way.encoding.level && *way.encoding.level > kFreeLevel;
  if (!takes_idle_ones) return speed;
  const double used = present.seconds / std::max(present.seconds, present.left / rate);
  return std::min(speed, (used + idle_processors_ / static_cast<double>(link_.lanes())) / way.seconds);
}

bool Chooser::is_raw(const Way& way) {
  return !way.encoding.level && way.encoding.history == Encoding::History::forgotten;
}

void Chooser::expect(double rate) {
  Lock lock(mutex_);
  link_.expect(rate);
}

void Chooser::raw_is_free() {
  Lock lock(mutex_);
  worth_of_raw_ = kFreeRaw;
}

Chooser::Pick Chooser::choose(size_t lane, Population population) {
  Lock lock(mutex_);
  Choice& choice = choices_[population == Population::again];
  // A lane that has sent little so far may get a larger part.
  const double rate = link_.rate() * std::max(link_.part(lane), 0.5 / static_cast<double>(link_.lanes()));
  const auto promises = [&](size_t number) WHERRY_REQUIRES(mutex_) {
    const Way& way = choice.ways[number];
    return speed(way, choice.ways[choice.at], rate) * (is_raw(way) ? worth_of_raw_ : 1);
  };
  size_t best = choice.at;
  double most = promises(best) * kBetter;
  for (size_t way = 0; way < choice.ways.size(); ++way) {
    if (promises(way) > most) {
      most = promises(way);
      best = way;
    }
  }
  choice.at = best;
  if (++choice.batches % kTry == 0) {
    forget(choice);
    for (size_t step = 1; step <= choice.ways.size(); ++step) {
      const size_t other = (choice.tried + step) % choice.ways.size();
      if (other == best || promises(other) <= kWorthTrying * promises(best)) continue;
      best = choice.tried = other;
      break;
    }
  }
  encodes_[lane] = !is_raw(choice.ways[best]);
  return {choice.ways[best].encoding, population, best};
}

// Without this, a way that once measured badly by chance would never be tried again.
void Chooser::forget(Choice& choice) {
  const bool zstd_tried = std::any_of(choice.ways.begin(), choice.ways.end(),
                                      [](const Way& way) { return way.encoding.level && way.fresh; });
  if (!zstd_tried) slower_ = std::max(1.0, slower_ * kForgetSlowness);
  for (Way& way : choice.ways) {
    if (!std::exchange(way.fresh, false))
      way.seconds += kForget * (way.usual * (way.encoding.level ? slower_ : 1) - way.seconds);
  }
}

void Chooser::no_deltas() {
  Lock lock(mutex_);
  for (Choice& choice : choices_) {
    for (Way& way : choice.ways) way.encoding.history = Encoding::History::forgotten;
  }
}

void Chooser::encoded(const Pick& pick, uint64_t guest_bytes, uint64_t wire_bytes,
                      std::chrono::duration<double> took) {
  if (guest_bytes == 0) return;
  Lock lock(mutex_);
  Way& way = choices_[pick.population == Population::again].ways[pick.way];
  const auto guest = static_cast<double>(guest_bytes);
  way.seconds += kWeight * (took.count() / guest - way.seconds);
  way.left += kWeight * (static_cast<double>(wire_bytes) / guest - way.left);
  way.measured = way.fresh = true;
  if (way.encoding.level) expect_of_others();
}

// A machine that is slow at some levels of zstd is slow at all of them, so not all have to be tried to find
// that out. One measurement is not enough, because the thread may have been without a processor meanwhile.
void Chooser::expect_of_others() {
  size_t measured = 0;
  double slower = std::numeric_limits<double>::max();
  for (const Choice& choice : choices_) {
    for (const Way& way : choice.ways) {
      if (!way.encoding.level || !way.measured) continue;
      ++measured;
      slower = std::min(slower, way.seconds / way.usual);
    }
  }
  if (measured < 2) return;
  slower_ = slower;
  for (Choice& choice : choices_) {
    for (Way& way : choice.ways) {
      if (way.encoding.level && !way.measured) way.seconds = way.usual * slower;
    }
  }
}

void Chooser::network(size_t lane, uint64_t given, uint64_t waiting, Clock::time_point now) {
  Lock lock(mutex_);
  if (now - idle_asked_ >= kAskIdle) {
    idle_asked_ = now;
    idle_processors_ = idle_();
  }
  const bool encodes = std::find(encodes_.begin(), encodes_.end(), true) != encodes_.end();
  link_.note(lane, given, waiting, now, worth_of_raw_ > 1 && encodes);
}

double Chooser::rate() const {
  Lock lock(mutex_);
  return link_.rate();
}

bool Chooser::knows_rate() const {
  Lock lock(mutex_);
  return link_.known();
}

double Chooser::landing_rate() const {
  Lock lock(mutex_);
  const Choice& again = choices_.back();
  const Choice& choice = again.ways[again.at].measured ? again : choices_.front();
  const Way& way = choice.ways[choice.at];
  const auto lanes = static_cast<double>(link_.lanes());
  return lanes * speed(way, way, link_.rate() / lanes);
}

std::string Chooser::describe() const {
  Lock lock(mutex_);
  const auto name = [](const Choice& choice) {
    const Encoding& encoding = choice.ways[choice.at].encoding;
    const bool delta = encoding.history == Encoding::History::kept;
    if (!encoding.level) return std::string(delta ? "delta" : "raw");
    return fmt::format("{}zstd {}", delta ? "delta + " : "", *encoding.level);
  };
  return fmt::format("first: {}, again: {}", name(choices_[0]), name(choices_[1]));
}

}  // namespace wherry
