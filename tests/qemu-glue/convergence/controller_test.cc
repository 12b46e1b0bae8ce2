// The controller at a guest, a link and QEMU's loop that are simulated, in a time of their own.
#include "qemu-glue/convergence/controller.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace wherry::convergence {
namespace {

constexpr double kMb = 1e6;
constexpr double kStep = 0.001;  // seconds
constexpr double kChunk = 0.05;  // seconds; after each such piece of a pass QEMU looks whether it is done
constexpr double kTooLong = 600;

// A guest that touches its hot pages at random, and how its pages land.
struct World {
  double ram = 1000 * kMb;
  double fixed = 0.01;  // of a switchover
  std::function<double(double t)> hot = [](double) { return 100 * kMb; };
  std::function<double(double t)> touches = [](double) { return 0.0; };  // bytes a second, if not slowed
  double takes = 1;  // the part of its processors' time that it uses, if not slowed
  std::function<double(double t)> landing = [](double) { return 110 * kMb; };
  std::function<double(double t)> link = [](double) { return 110 * kMb; };
};

struct Outcome {
  bool done = false;
  double total = 0;
  double downtime = 0;
  double left = 0;  // bytes, when the guest stopped
  double predicted = 0;
  double throttle_mean = 0;
  double throttle_peak = 0;
  double throttle_last = 0;
  int turns = 0;  // how often the throttle changed its direction
  bool out_of_reach = false;
  double said_at = 0;
  double work = 0;  // bytes that the guest touched
};

// Bytes that QEMU knows to be dirty, and dirty bytes that it does not know yet. Touches are spread over the
// hot pages.
class Simulation {
 public:
  Simulation(const World& world, const Controller::Limits& limits)
      : world_(world), controller_(limits), known_(world.ram) {}

  Outcome run() {
    Outcome outcome;
    Decision decision;
    double throttled = 0;
    double before = 0;
    int direction = 0;
    double chunk = 0;
    double look = 0;
    for (double t = 0; t < kTooLong; t += kStep) {
      const double landing = world_.landing(t);
      const double hot = world_.hot(t);
      const double running = std::min(world_.takes, 1 - decision.throttle);
      ran_ += running * kStep;
      const double touched = world_.touches(t) * running / world_.takes * kStep;
      outcome.work += touched;
      fresh_ += touched * std::max(0.0, 1 - fresh_ / hot);
      known_ = std::max(0.0, known_ - landing * kStep);
      throttled += decision.throttle * kStep;
      outcome.throttle_peak = std::max(outcome.throttle_peak, decision.throttle);
      outcome.throttle_last = decision.throttle;
      look -= kStep;
      if (look <= 0) {
        decision = step(t, landing);
        look = decision.look_in;
        if (decision.out_of_reach && !outcome.out_of_reach) {
          outcome.out_of_reach = true;
          outcome.said_at = t;
        }
        const double change = decision.throttle - std::exchange(before, decision.throttle);
        const int now = change > 0 ? 1 : change < 0 ? -1 : direction;
        if (direction != 0 && now != direction) ++outcome.turns;
        direction = now;
      }
      chunk += kStep;
      if (known_ > 0 && chunk < kChunk) continue;
      chunk = 0;
      if (known_ >= std::max(decision.may_remain, 1.0)) continue;
      known_ += fresh_ * std::max(0.0, 1 - known_ / hot);
      fresh_ = 0;
      ++passes_;
      if (known_ >= decision.may_remain) {
        look = 0;  // QEMU says that a pass began
        continue;
      }
      outcome.done = true;
      outcome.total = t;
      outcome.left = known_;
      outcome.downtime = known_ / world_.landing(t) + world_.fixed;
      outcome.predicted = controller_.stopped(t, ran_, 0).value_or(Downtime{}).total();
      outcome.throttle_mean = t > 0 ? throttled / t : 0;
      return outcome;
    }
    outcome.throttle_mean = throttled / kTooLong;
    return outcome;
  }

 private:
  Decision step(double t, double landing) {
    return controller_.step({.t = t,
                             .ran = ran_,
                             .used = ran_,
                             .passes = passes_,
                             .remaining = known_,
                             .landing = landing,
                             .link = world_.link(t)});
  }

  const World& world_;
  Controller controller_;
  double known_;
  double fresh_ = 0;
  double ran_ = 0;
  uint64_t passes_ = 1;
};

Outcome simulate(const World& world, const Controller::Limits& limits) {
  return Simulation(world, limits).run();
}

const Controller::Limits kTenth{.downtime = 0.1, .throttle = 0.99, .fixed = 0.01, .usual = {.start = 0.01}};

TEST(Controller, AnIdleGuestIsNeverSlowed) {
  const Outcome outcome = simulate({}, kTenth);
  EXPECT_TRUE(outcome.done);
  EXPECT_LT(outcome.total, 10);
  EXPECT_EQ(outcome.throttle_mean, 0);
}

TEST(Controller, AGuestThatConvergesIsNotSlowed) {
  World world;
  world.touches = [](double) { return 60 * kMb; };
  world.hot = [](double) { return 400 * kMb; };
  const Outcome outcome = simulate(world, kTenth);
  EXPECT_TRUE(outcome.done);
  EXPECT_EQ(outcome.throttle_mean, 0);
  EXPECT_LE(outcome.downtime, 0.1);
}

TEST(Controller, AGuestThatWritesFasterThanTheLinkIsSlowedAndMoves) {
  World world;
  world.touches = [](double) { return 500 * kMb; };
  world.hot = [](double) { return 400 * kMb; };
  const Outcome outcome = simulate(world, kTenth);
  EXPECT_TRUE(outcome.done);
  EXPECT_GT(outcome.throttle_mean, 0.1);
  EXPECT_LE(outcome.downtime, 0.1);
  EXPECT_FALSE(outcome.out_of_reach);
}

// What it takes of its processors is where the throttle begins: else a guest that is often idle would not
// feel it, pass after pass.
TEST(Controller, AGuestThatTakesAThirdOfItsProcessorsIsSlowedFromThere) {
  World world;
  world.touches = [](double) { return 500 * kMb; };
  world.hot = [](double) { return 400 * kMb; };
  const Outcome all = simulate(world, kTenth);
  world.takes = 0.3;
  const Outcome third = simulate(world, kTenth);
  EXPECT_TRUE(third.done);
  EXPECT_NEAR(third.total, all.total, 0.1);
  EXPECT_NEAR(third.work, all.work, 0.01 * all.work);
  EXPECT_NEAR(1 - third.throttle_peak, 0.3 * (1 - all.throttle_peak), 0.01);
}

TEST(Controller, AGuestThatComesDownByItselfIsLet) {
  World world;
  world.touches = [](double) { return 95 * kMb; };
  world.hot = [](double) { return 400 * kMb; };
  const Outcome outcome = simulate(world, kTenth);
  EXPECT_TRUE(outcome.done);
  EXPECT_EQ(outcome.throttle_mean, 0);
}

TEST(Controller, WhatCannotBeIsSaidEarly) {
  World world;
  world.touches = [](double) { return 500 * kMb; };
  world.hot = [](double) { return 400 * kMb; };
  const Outcome outcome =
      simulate(world, {.downtime = 0.1, .throttle = 0, .fixed = 0.01, .usual = {.start = 0.01}});
  EXPECT_FALSE(outcome.done);
  ASSERT_TRUE(outcome.out_of_reach);
  EXPECT_LT(outcome.said_at, 25) << "the first pass takes 9 s, those after it 4";
}

TEST(Controller, AFewShortPassesThatStayAsTheyAreMeanNothing) {
  for (const double length : {0.01, 0.3}) {
    Controller controller({.downtime = 0.1, .throttle = 0, .fixed = 0.01});
    Decision decision;
    for (uint64_t pass = 1; pass <= 5; ++pass) {
      decision = controller.step({.t = length * static_cast<double>(pass),
                                  .passes = pass,
                                  .remaining = 50 * kMb,
                                  .landing = 100 * kMb,
                                  .link = 100 * kMb});
    }
    EXPECT_EQ(decision.out_of_reach.has_value(), length > 0.1) << length;
  }
}

TEST(Controller, ACalmGuestGetsItsSpeedBack) {
  World world;
  world.hot = [](double) { return 400 * kMb; };
  world.touches = [](double t) { return t < 20 ? 2000 * kMb : 10 * kMb; };
  const Outcome outcome = simulate(world, kTenth);
  EXPECT_TRUE(outcome.done);
  EXPECT_LE(outcome.downtime, 0.1);
  EXPECT_GT(outcome.throttle_peak, 0);
  EXPECT_LT(outcome.throttle_last, outcome.throttle_peak);
}

// A guest that wrote little and alike begins to write what does not compress, and E only shows that once such
// pages were sent.
TEST(Controller, WhatLandedFastNeedNotGoOnToDoSo) {
  for (double burst = 3.0; burst < 3.8; burst += 0.02) {
    World world;
    world.touches = [=](double t) { return t < burst ? 20 * kMb : 250 * kMb; };
    world.hot = [](double) { return 400 * kMb; };
    world.landing = [=](double t) { return t < burst + 0.1 ? 300 * kMb : 110 * kMb; };
    world.link = [](double) { return 110 * kMb; };
    const Outcome outcome = simulate(world, kTenth);
    EXPECT_TRUE(outcome.done);
    // It lands as the link drains it.
    if (outcome.total > burst) {
      EXPECT_LE(outcome.left / (110 * kMb), 0.1) << burst;
    }
  }
}

TEST(Controller, ALookBehindTheStopSawWhatIsLeft) {
  Controller controller(kTenth);
  Observation seen{.passes = 1, .remaining = 1000 * kMb, .landing = 100 * kMb, .link = 100 * kMb};
  controller.step(seen);
  seen.t = 10;
  seen.passes = 2;
  seen.remaining = 30 * kMb;
  controller.step(seen);
  ASSERT_TRUE(controller.stopped(9.9, 0, 0));
  EXPECT_NEAR(controller.stopped(9.9, 0, 0)->total(), 0.31, 0.001);
  seen.usually = 110 * kMb;
  controller.step(seen);
  EXPECT_NEAR(controller.stopped(seen.t, 0, 0)->total(), 0.3 / 1.1 + 0.01, 0.001);
  seen.usually = 1000 * kMb;
  controller.step(seen);
  EXPECT_NEAR(controller.stopped(seen.t, 0, 0)->total(), 0.3 / 1.25 + 0.01, 0.001) << "it was another time";
}

TEST(Controller, WhatQemuHasSentSinceTheLookIsNotLeft) {
  // At 10.05 QEMU may have sent 5 MB of what remained at 10; 7.2 MB may remain.
  for (const auto& [remaining, left] :
       {std::pair(6 * kMb, 3 * kMb), std::pair(7 * kMb, 3.5 * kMb), std::pair(9 * kMb, 4 * kMb)}) {
    Controller controller(kTenth);
    Observation seen{.passes = 1, .remaining = 1000 * kMb, .landing = 100 * kMb, .link = 100 * kMb};
    controller.step(seen);
    seen.t = 10;
    seen.passes = 2;
    seen.remaining = remaining;
    controller.step(seen);
    EXPECT_NEAR(controller.stopped(10.05, 0, 0)->total(), left / (100 * kMb) + 0.01, 0.001) << remaining;
    EXPECT_NEAR(controller.if_stopped(10.05, 0, 0)->total(), (remaining - 5 * kMb) / (100 * kMb) + 0.01,
                0.001);
  }
}

TEST(Controller, APassIsLookedAtOftenTowardsItsEndAlone) {
  for (const auto& [remaining, look_in] : {std::pair(900 * kMb, 0.05), std::pair(1 * kMb, 0.01)}) {
    Controller controller(kTenth);
    Observation seen{.passes = 1, .remaining = remaining, .landing = 110 * kMb, .link = 110 * kMb};
    EXPECT_EQ(controller.step(seen).look_in, look_in);
    seen.t = 0.05;
    EXPECT_EQ(controller.step(seen).look_in, look_in) << "it has not come on";
  }
}

TEST(Controller, WhatTheGuestWritesGrowsWithTheTimeThatItRuns) {
  Controller controller(kTenth);
  Observation seen{.passes = 1, .remaining = 1000 * kMb, .landing = 100 * kMb, .link = 100 * kMb};
  controller.step(seen);
  seen.t = 10;
  seen.ran = 2;
  seen.passes = 2;
  seen.remaining = 400 * kMb;
  controller.step(seen);
  EXPECT_NEAR(controller.if_stopped(12, 2, 0)->total(), 2 + 0.01, 0.001) << "it had nothing to do";
  EXPECT_NEAR(controller.if_stopped(12, 2.5, 0)->total(), 2 + 1 + 0.01, 0.001) << "200 MB a second";
}

TEST(Controller, WhatIsOnItsWayHasToLand) {
  Controller controller(kTenth);
  controller.step({.passes = 1, .bound = 20 * kMb, .landing = 100 * kMb, .link = 100 * kMb});
  EXPECT_NEAR(controller.stopped(0, 0, 0.1)->placed, 0.1, 0.001);
  EXPECT_NEAR(controller.stopped(0, 0, 0.9)->placed, 0.2, 0.001) << "more cannot be";
}

TEST(Controller, ZeroPagesAtTheEndTakeOnlyWhatARelayNeeds) {
  for (const double zeros : {0.0, 0.009}) {
    Controller::Limits limits = kTenth;
    limits.zeros = zeros;
    Controller controller(limits);
    Observation seen{.passes = 1, .remaining = 1000 * kMb, .landing = 100 * kMb, .link = 100 * kMb};
    controller.step(seen);
    seen.t = 0.05;
    seen.remaining = 500 * kMb;
    controller.step(seen);
    EXPECT_NEAR(controller.if_stopped(seen.t, 0, 0)->total(), 0.01 + zeros, 0.001) << "they go at 10 GB/s";
  }
  Controller controller([] {
    Controller::Limits limits = kTenth;
    limits.zeros = 0.009;
    return limits;
  }());
  controller.step({.passes = 1, .remaining = 1 * kMb, .landing = 100 * kMb, .link = 100 * kMb});
  EXPECT_NEAR(controller.stopped(0, 0, 0)->total(), 0.02, 0.001) << "others have none";
}

// Guests of all kinds: steady, in bursts, growing; links that falter. Whatever they do, no target is missed
// by more than what happens between two looks, and no guest is slowed that need not be.
TEST(Controller, ThousandsOfGuests) {
  std::mt19937 random(7);
  const auto draw = [&](double low, double high) {
    return std::exp(std::uniform_real_distribution<double>(std::log(low), std::log(high))(random));
  };
  std::vector<double> errors;
  int missed = 0;
  int stayed = 0;
  int restless = 0;
  constexpr int kGuests = 2000;
  for (int i = 0; i < kGuests; ++i) {
    World world;
    world.ram = draw(200, 3000) * kMb;
    const double hot = std::min(world.ram, draw(10, 2000) * kMb);
    const double touches = draw(1, 1000) * kMb;
    const double link = draw(30, 1000) * kMb;
    const double period = draw(0.2, 10);
    double slowest = link;
    world.landing = [=](double) { return link; };
    switch (random() % 4) {
      case 0:
        world.touches = [=](double) { return touches; };
        world.hot = [=](double) { return hot; };
        break;
      case 1:
        world.touches = [=](double t) { return std::fmod(t, period) < period / 2 ? touches : touches / 20; };
        world.hot = [=](double) { return hot; };
        break;
      case 2:
        world.touches = [=](double) { return touches; };
        world.hot = [=](double t) { return hot * std::min(1.0, 0.1 + t / 60); };
        break;
      default:
        world.touches = [=](double) { return touches; };
        world.hot = [=](double) { return hot; };
        slowest = link / 5;
        world.landing = [=](double t) { return std::fmod(t, 20) < 2 ? slowest : link; };
    }
    // What the guest writes may compress well or not at all.
    const double ratio = random() % 2 ? draw(1, 10) : 1;
    world.link = [=, landing = world.landing](double t) { return landing(t) / ratio; };
    const double target = std::vector<double>{0.05, 0.1, 0.3}[random() % 3];
    const Outcome outcome = simulate(
        world, {.downtime = target, .throttle = 0.99, .fixed = world.fixed, .usual = {.start = world.fixed}});
    if (!outcome.done) {
      stayed += !outcome.out_of_reach;
      continue;
    }
    errors.push_back(std::abs(outcome.predicted - outcome.downtime) / outcome.downtime);
    missed += outcome.downtime > target;
    restless += outcome.turns > 6;
    // A guest that writes at half the rate at which pages land converges by itself.
    if (touches < 0.5 * slowest) {
      EXPECT_LT(outcome.throttle_mean, 0.01) << i;
    }
  }
  EXPECT_LE(missed, kGuests / 100);
  EXPECT_LE(stayed, 1) << "of 3 GB over 30 MB/s";
  EXPECT_LE(restless, kGuests / 100);
  std::nth_element(errors.begin(), errors.begin() + errors.size() / 2, errors.end());
  EXPECT_LT(errors[errors.size() / 2], 0.15) << "of the prediction, half of them are better";
}

}  // namespace
}  // namespace wherry::convergence
