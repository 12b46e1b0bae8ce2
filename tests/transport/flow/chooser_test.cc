// A model of a lane on a simulated clock: each way of encoding takes its time, and the network drains at its
// rate. The tests look at what the chooser settles on.
#include "transport/flow/chooser.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>

namespace wherry {
namespace {

using Mode = Compression::Mode;
using Population = Chooser::Population;
using History = Encoding::History;
using Seconds = std::chrono::duration<double>;

constexpr uint64_t kGuestBytes = kBatchBytes;

Compression wish(Mode mode) {
  Compression wish;
  wish.mode = mode;
  return wish;
}

// What a way costs on this guest: seconds for a guest byte, and the wire bytes that it leaves of it.
struct Cost {
  double seconds;
  double left;
};
using GuestModel = std::function<Cost(const Encoding&, Population)>;

// Pages like those of most guests: zstd halves them, higher levels do little more, and little has changed in
// pages that are sent again.
Cost usual(const Encoding& encoding, Population population) {
  const bool delta = encoding.history == History::kept && population == Population::again;
  Cost cost{encoding.history == History::kept ? 1 / 3e9 : 1 / 10e9, delta ? 0.2 : 1.0};
  if (encoding.level) {
    const double speed = *encoding.level < 0 ? 0.7e9 : 0.5e9 / *encoding.level;
    cost.seconds += (delta ? 0.2 : 1.0) / speed;
    cost.left *= *encoding.level < 0 ? 0.6 : 0.5;
  }
  return cost;
}

// zstd finds nothing and gives up fast.
Cost incompressible(const Encoding& encoding, Population) {
  return {(encoding.history == History::kept ? 1 / 3e9 : 1 / 10e9) + (encoding.level ? 1 / 1e9 : 0), 1};
}

class Lanes {
 public:
  explicit Lanes(const Compression& wish, double idle = 8)
      : chooser_(wish, 1, [idle] { return idle; }), now_(std::chrono::hours(1)) {}

  double rate = 1e9;  // bytes a second
  GuestModel guest = usual;

  // Sends batches for that many seconds of the simulated clock.
  void run(double seconds, Population population = Population::first) {
    const auto end = now_ + to_clock(seconds);
    while (now_ < end) {
      chooser_.network(0, given_, waiting(), now_);
      const Chooser::Pick pick = chooser_.choose(0, population);
      const Cost cost = guest(pick.encoding, population);
      const double took = cost.seconds * kGuestBytes;
      advance(took);
      const auto wire = static_cast<uint64_t>(cost.left * kGuestBytes);
      chooser_.encoded(pick, kGuestBytes, wire, Seconds(took));
      chooser_.network(0, given_, waiting(), now_);
      // A socket buffers kBuffer bytes, then sending waits.
      while (queue_ > kBuffer) advance((queue_ - kBuffer) / rate + 1e-6);
      queue_ += static_cast<double>(wire);
      given_ += wire;
      ++picked_[name(pick.encoding)];
    }
  }
  // How most of the batches since the last call were encoded.
  std::string mostly() {
    std::string best;
    for (const auto& [name, times] : picked_) {
      if (best.empty() || times > picked_[best]) best = name;
    }
    picked_.clear();
    return best;
  }
  // How many batches since the last call of mostly() were not encoded like `than`.
  int others(const std::string& than) const {
    int count = 0;
    for (const auto& [name, times] : picked_) count += name == than ? 0 : times;
    return count;
  }
  std::string describe() const { return chooser_.describe(); }
  Chooser& chooser() { return chooser_; }

 private:
  static constexpr double kBuffer = 4e6;
  static Chooser::Clock::duration to_clock(double seconds) {
    return std::chrono::duration_cast<Chooser::Clock::duration>(Seconds(seconds));
  }
  static std::string name(const Encoding& encoding) {
    std::string name = encoding.history == History::kept ? "delta" : "raw";
    if (encoding.level) name += *encoding.level > 1 ? " high zstd" : " zstd";
    return name;
  }
  uint64_t waiting() const { return static_cast<uint64_t>(queue_); }
  void advance(double seconds) {
    now_ += to_clock(seconds);
    queue_ = std::max(0.0, queue_ - seconds * rate);
  }

  Chooser chooser_;
  Chooser::Clock::time_point now_;
  double queue_ = 0;
  uint64_t given_ = 0;
  std::map<std::string, int> picked_;
};

TEST(Chooser, AFastNetworkGetsPagesAsTheyAre) {
  Lanes lanes(wish(Mode::automatic));
  lanes.rate = 20e9;
  lanes.run(5);
  (void)lanes.mostly();
  lanes.run(1);
  EXPECT_EQ(lanes.mostly(), "raw");
  EXPECT_NE(lanes.describe().find("first: raw"), std::string::npos) << lanes.describe();
}

TEST(Chooser, ASlowNetworkGetsZstd) {
  Lanes lanes(wish(Mode::automatic));
  lanes.rate = 0.1e9;
  lanes.run(2);
  (void)lanes.mostly();
  lanes.run(1);
  EXPECT_NE(lanes.mostly().find("zstd"), std::string::npos) << lanes.describe();
}

TEST(Chooser, OnASlowNetworkPagesThatComeAgainAreSentAsWhatChanged) {
  Lanes lanes(wish(Mode::automatic));
  lanes.rate = 0.1e9;
  lanes.run(3, Population::again);
  (void)lanes.mostly();
  lanes.run(1, Population::again);
  EXPECT_EQ(lanes.mostly().substr(0, 5), "delta") << lanes.describe();
}

TEST(Chooser, FollowsANetworkThatSlowsDownAndRecovers) {
  Lanes lanes(wish(Mode::automatic));
  lanes.rate = 20e9;
  lanes.run(5);
  (void)lanes.mostly();
  lanes.run(0.5);
  ASSERT_EQ(lanes.mostly(), "raw");
  lanes.rate = 0.1e9;
  lanes.run(3);
  (void)lanes.mostly();
  lanes.run(1);
  EXPECT_NE(lanes.mostly().find("zstd"), std::string::npos) << lanes.describe();
  lanes.rate = 20e9;
  lanes.run(20);
  (void)lanes.mostly();
  lanes.run(1);
  EXPECT_EQ(lanes.mostly(), "raw") << lanes.describe();
}

TEST(Chooser, DoesNotCompressWhatDoesNotCompress) {
  for (const Population population : {Population::first, Population::again}) {
    Lanes lanes(wish(Mode::automatic));
    lanes.rate = 2e9;
    lanes.guest = incompressible;
    lanes.run(5, population);
    (void)lanes.mostly();
    lanes.run(2, population);
    EXPECT_EQ(lanes.mostly().find("zstd"), std::string::npos) << lanes.describe();
  }
}

TEST(Chooser, ASlowProcessorIsFoundOutSoonAtAllLevels) {
  Lanes lanes(wish(Mode::automatic));
  lanes.rate = 10e6;
  lanes.chooser().expect(10e6);
  lanes.guest = [](const Encoding& encoding, Population population) {
    Cost cost = usual(encoding, population);
    if (encoding.level) cost.seconds *= 150;
    return cost;
  };
  lanes.run(3);
  EXPECT_LE(lanes.others("raw"), 10);
  EXPECT_EQ(lanes.mostly(), "raw") << lanes.describe();
}

TEST(Chooser, AProcessorThatWasBusyForAMomentIsTriedAgain) {
  Lanes lanes(wish(Mode::automatic));
  lanes.rate = 0.1e9;
  lanes.run(1);
  lanes.guest = [](const Encoding& encoding, Population population) {
    Cost cost = usual(encoding, population);
    if (encoding.level) cost.seconds *= 150;
    return cost;
  };
  lanes.run(1);
  (void)lanes.mostly();
  lanes.run(0.1);
  ASSERT_EQ(lanes.mostly().find("zstd"), std::string::npos) << lanes.describe();
  lanes.guest = usual;
  lanes.run(3);
  (void)lanes.mostly();
  lanes.run(1);
  EXPECT_NE(lanes.mostly().find("zstd"), std::string::npos) << lanes.describe();
}

TEST(Chooser, WhereRawIsFreeZstdMustBeWorthIt) {
  for (const auto& [rate, worth] : {std::pair(0.3e9, false), std::pair(0.1e9, true)}) {
    Lanes lanes(wish(Mode::automatic));
    lanes.chooser().raw_is_free();
    lanes.rate = rate;
    lanes.guest = [](const Encoding& encoding, Population) {
      return encoding.level ? Cost{1 / 0.38e9, 0.5} : Cost{1 / 10e9, 1};
    };
    lanes.run(2);
    (void)lanes.mostly();
    lanes.run(1);
    EXPECT_EQ(lanes.mostly() != "raw", worth) << rate;
  }
}

TEST(Chooser, WhereRawIsFreeAllElseNeedsIdleProcessors) {
  for (const double idle : {0.0, 8.0}) {
    Lanes lanes(wish(Mode::automatic), idle);
    lanes.chooser().raw_is_free();
    lanes.rate = 0.02e9;
    lanes.run(2);
    EXPECT_EQ(lanes.mostly() == "raw", idle == 0) << lanes.describe();
  }
}

TEST(Chooser, WhereRawIsFreeANetworkIsNotSlowForWhatProcessorsMustSend) {
  for (const auto& [mode, believed] : {std::pair(Mode::zstd, false), std::pair(Mode::off, true)}) {
    Lanes lanes(wish(mode));
    lanes.chooser().raw_is_free();
    lanes.chooser().expect(1e9);
    lanes.rate = 0.05e9;
    lanes.run(0.2);
    EXPECT_EQ(lanes.chooser().rate() < 0.5e9, believed) << lanes.chooser().rate();
  }
}

TEST(Chooser, HighLevelsNeedIdleProcessors) {
  for (const double idle : {0.0, 8.0}) {
    Lanes lanes(wish(Mode::automatic), idle);
    lanes.rate = 0.005e9;
    // A guest whose pages high levels make far smaller.
    lanes.guest = [](const Encoding& encoding, Population population) {
      Cost cost = usual(encoding, population);
      if (encoding.level && *encoding.level > 1) cost.left = 0.1;
      return cost;
    };
    lanes.run(20);
    (void)lanes.mostly();
    lanes.run(5);
    EXPECT_EQ(lanes.mostly(), idle > 0 ? "delta high zstd" : "delta zstd") << lanes.describe();
  }
}

TEST(Chooser, FixedModesAreNeverLeft) {
  struct Fixed {
    Mode mode;
    History history;
    bool zstd;
  };
  for (const Fixed& fixed :
       {Fixed{Mode::off, History::forgotten, false}, Fixed{Mode::zstd, History::forgotten, true},
        Fixed{Mode::delta, History::kept, false}, Fixed{Mode::delta_zstd, History::kept, true}}) {
    Lanes lanes(wish(fixed.mode));
    for (const double rate : {20e9, 0.05e9}) {
      lanes.rate = rate;
      lanes.run(1);
      for (const Population population : {Population::first, Population::again}) {
        for (int i = 0; i < 100; ++i) {
          const Encoding encoding = lanes.chooser().choose(0, population).encoding;
          ASSERT_EQ(encoding.history, fixed.history);
          ASSERT_EQ(encoding.level.has_value(), fixed.zstd);
          ASSERT_FALSE(encoding.sums);
        }
      }
    }
  }
}

TEST(Chooser, TheLevelAskedForIsTheOnlyOne) {
  for (const Mode mode : {Mode::automatic, Mode::zstd, Mode::delta_zstd}) {
    Compression with_level = wish(mode);
    with_level.level = 7;
    Lanes lanes(with_level);
    lanes.rate = 0.001e9;
    lanes.run(20);
    int levels = 0;
    for (int i = 0; i < 100; ++i) {
      const auto level = lanes.chooser().choose(0, Population::first).encoding.level;
      if (!level) continue;
      ++levels;
      ASSERT_EQ(*level, 7);
    }
    EXPECT_GT(levels, 90) << "on a network as slow as this";
  }
}

TEST(Chooser, VerifyingAddsSumsToEveryWay) {
  for (const Mode mode : {Mode::automatic, Mode::off, Mode::zstd, Mode::delta, Mode::delta_zstd}) {
    Compression verifying = wish(mode);
    verifying.verify = true;
    Lanes lanes(verifying);
    for (const double rate : {20e9, 0.05e9}) {
      lanes.rate = rate;
      lanes.run(1);
      for (int i = 0; i < 100; ++i) ASSERT_TRUE(lanes.chooser().choose(0, Population::first).encoding.sums);
    }
  }
}

TEST(Chooser, BeginsWithTheRateThatTheNetworkIsSaidToHave) {
  Chooser fast(wish(Mode::automatic), 1, [] { return 8.0; });
  fast.expect(12.5e9);
  EXPECT_FALSE(fast.choose(0, Population::first).encoding.level);
  EXPECT_EQ(fast.rate(), 12.5e9);
  Chooser slow(wish(Mode::automatic), 1, [] { return 8.0; });
  slow.expect(12.5e6);
  EXPECT_TRUE(slow.choose(0, Population::first).encoding.level);
}

TEST(Chooser, SaysWhatItChose) {
  EXPECT_EQ(Lanes(wish(Mode::off)).describe(), "first: raw, again: raw");
  EXPECT_EQ(Lanes(wish(Mode::zstd)).describe(), "first: zstd 1, again: zstd 1");
  EXPECT_EQ(Lanes(wish(Mode::delta)).describe(), "first: delta, again: delta");
  EXPECT_EQ(Lanes(wish(Mode::delta_zstd)).describe(), "first: delta + zstd 1, again: delta + zstd 1");
}

TEST(Chooser, BatchesOfZeroPagesTeachNothing) {
  Lanes lanes(wish(Mode::automatic));
  lanes.rate = 0.1e9;
  lanes.run(2);
  const std::string before = lanes.describe();
  for (int i = 0; i < 1000; ++i) {
    const auto pick = lanes.chooser().choose(0, Population::first);
    lanes.chooser().encoded(pick, 0, 0, Seconds(10));
  }
  EXPECT_EQ(lanes.describe(), before);
}

}  // namespace
}  // namespace wherry
