// Who has the guest in the end: two scripted QEMUs play each script through Wherry and through a plain relay.
// Every pair of conclusions through Wherry must also occur through the relay. (This file tests Sender and
// Receiver together, so it has no namesake.)
//
// The expected conclusions come from running the relay, not from a table. If a script has a race, the relay
// is run again until it comes to the same conclusions, up to a limit.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/qemu-glue/scripted_destination.h"
#include "tests/qemu-glue/scripted_source.h"
#include "tests/qemu-glue/wherry_pair.h"
#include "tests/transport/socket/byte_relay.h"
#include "tests/transport/support.h"

namespace wherry::qemu::test {
namespace {

using wherry::test::ByteRelay;
using wherry::test::TempDir;
using wherry::test::Watchdog;

using Kind = Act::Kind;
using Acts = std::vector<Act>;

// Conclusions of the source and of the destination.
using Ends = std::pair<std::string, std::string>;

struct Played {
  Ends ends;
  std::vector<std::string> complaints;
  uint64_t written = 0;  // bytes written by the source
};

// Called when the source has its conclusion. Returns true if nothing is left that could connect to the
// destination. Adds faults to `complaints`.
using Gone = std::function<bool(std::vector<std::string>& complaints)>;

Played play(ScriptedSource& source, ScriptedDestination& destination, const std::string& at,
            const Gone& gone) {
  source.start(at);
  Played played;
  played.ends.first = source.conclusion();
  if (gone(played.complaints)) destination.nobody_comes();
  played.ends.second = destination.conclusion();
  for (const auto& more : {source.complaints(), destination.complaints()})
    played.complaints.insert(played.complaints.end(), more.begin(), more.end());
  played.written = source.written();
  return played;
}

Played through_relay(const Script& script, uint64_t most = UINT64_MAX) {
  const TempDir directory;
  ScriptedSource source(script);
  std::atomic<ByteRelay*> relay = nullptr;
  const bool cut = most != UINT64_MAX;
  ScriptedDestination destination(directory.at("to"), script, source, [&] { relay.load()->cut(); });
  ByteRelay between(directory.at("from"), directory.at("to"), most);
  relay = &between;
  return play(source, destination, directory.at("from"), [=](auto&) { return cut; });
}

struct ThroughWherry : Played {
  Report sender, receiver;
};

// Whether a channel that the destination closes must end at the source at once: while pages are still to
// come.
bool ends_at_once(const Script& script) {
  return script.opaque == Opaque::never && script.moment < Moment::device;
}

ThroughWherry through_wherry(const Script& script, Place place) {
  const TempDir directory;
  ScriptedSource source(script, ends_at_once(script));
  ScriptedDestination destination(directory.at("to"), script, source);
  WherryPair pair(directory.at("from"), directory.at("to"), place);
  ThroughWherry played{play(source, destination, directory.at("from"),
                            [&](auto& complaints) {
                              complaints = pair.end();
                              return true;
                            }),
                       {},
                       {}};
  played.sender = pair.sender();
  played.receiver = pair.receiver();
  return played;
}

std::string text(const Ends& ends) {
  return fmt::format("({}, {})", ends.first, ends.second);
}
std::string text(const std::set<Ends>& all) {
  std::string joined;
  for (const Ends& ends : all) joined += text(ends) + " ";
  return joined;
}
std::string text(const std::vector<std::string>& lines) {
  std::string joined;
  for (const std::string& line : lines) joined += line + "; ";
  return joined;
}

// Runs the relay until it comes to `wanted`, up to a limit. Returns all conclusions. A script in a rush can
// also go as if its acts were apart.
std::set<Ends> ends_of_relay(const Script& script, const Ends& wanted) {
  std::set<Ends> seen;
  const int chances = script.apart ? 3 : 24;
  for (int i = 0; i < chances && !seen.contains(wanted); ++i) {
    Script timed = script;
    timed.apart = script.apart || i % 4 == 3;
    const Played played = through_relay(timed);
    EXPECT_TRUE(played.complaints.empty()) << "through the relay: " << text(played.complaints);
    seen.insert(played.ends);
  }
  return seen;
}

// The same with a relay that is cut. In a rush, the cut can be at any byte from the script's moment on,
// before or after a SHUT. A source without a return path is always in a rush: it does not wait until what it
// has written is passed on.
std::set<Ends> ends_of_cut_relay(Script script, const Ends& wanted) {
  if (script.apart && script.return_path) return ends_of_relay(script, wanted);
  script.apart = false;
  const auto stream = scripted_stream(script);
  std::set<Ends> seen;
  for (int chance = 0; chance < 8 && !seen.contains(wanted); ++chance) {
    uint64_t bytes = 0;
    for (size_t step = 0; step < kSteps; ++step) {
      bytes += stream.front()[step].size();
      if (step >= step_of(script.moment)) seen.insert(through_relay(script, bytes).ends);
    }
  }
  Script at_rest = script;
  at_rest.apart = true;
  seen.insert(through_relay(at_rest).ends);
  at_rest.acts = {{Kind::cut}};
  for (const Moment moment : kMoments) {
    at_rest.moment = moment;
    if (moment >= script.moment) seen.insert(through_relay(at_rest).ends);
  }
  return seen;
}

// Whether Wherry may fail the migration: the main channel cannot become opaque after pages of multifd
// channels were placed directly. Wherry fails then while the source still has the guest.
bool may_refuse(const Script& script, Place place) {
  return place == Place::direct && script.data > 0 && script.opaque != Opaque::never;
}

// Returns false if the script did not end by itself.
bool check(const Script& script, Place place) {
  SCOPED_TRACE(script.name());
  const Watchdog watchdog(script.name());
  const ThroughWherry played = through_wherry(script, place);
  const auto& [source, destination] = played.ends;
  EXPECT_TRUE(played.complaints.empty())
      << text(played.complaints) << text(played.ends) << "\nsender: " << played.sender.error()
      << "\nreceiver: " << played.receiver.error();
  std::set<Ends> allowed = ends_of_relay(script, played.ends);
  if (may_refuse(script, place)) allowed.insert({"failed", "failed"});
  EXPECT_TRUE(allowed.contains(played.ends))
      << text(played.ends) << ", but a relay " << text(allowed) << "\nsender: " << played.sender.error()
      << "\nreceiver: " << played.receiver.error();
  if (place == Place::direct && script.opaque == Opaque::never && source == "completed") {
    EXPECT_EQ(played.receiver.placement.how, "direct-mapped") << played.receiver.placement.reason;
  }
  const bool known = script.return_path && script.opaque != Opaque::start;
  for (const Report* report : {&played.sender, &played.receiver}) {
    const std::string said = report->status();
    // Without a return path, a source considers a guest gone that has reached no destination.
    const bool stayed = !script.return_path && destination == "failed" && said == "failed";
    EXPECT_TRUE(said == source || stayed || (!known && said == "unknown"))
        << "the " << report->role << "'s Wherry says " << said << " (" << report->error() << ") of "
        << text(played.ends);
  }
  return played.complaints.empty();
}

// All orders of these acts in which SHUT precedes the close of main, and data channels keep their order.
std::vector<Acts> orders(Acts acts, size_t data) {
  std::vector<Acts> found;
  std::vector<size_t> order(acts.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  do {
    Acts one;
    for (size_t i : order) one.push_back(acts[i]);
    size_t last = 0;
    bool main_open = true;
    bool sensible = true;
    for (const Act& act : one) {
      const bool shut = act.kind == Kind::shut0 || act.kind == Kind::shut1;
      if (shut) {
        sensible = sensible && main_open;
      } else if (act.channel == 0) {
        main_open = false;
      } else if (act.channel <= data) {
        sensible = sensible && act.channel > last;
        last = act.channel;
      }
    }
    if (sensible) found.push_back(one);
  } while (std::next_permutation(order.begin(), order.end()));
  return found;
}

// What a destination can do at this moment. One that does not have the guest fails, and so closes all
// channels.
std::vector<Acts> sensible_acts(const Script& script, Moment moment) {
  std::vector<Acts> all;
  const auto add = [&](const Acts& acts) {
    for (Acts& each : orders(acts, script.data)) all.push_back(std::move(each));
  };
  Acts close_others;
  for (size_t channel = 1; channel < script.channels(); ++channel)
    close_others.push_back({Kind::close, channel});
  const bool has_guest = moment == Moment::whole;
  for (const bool close_main : {true, false}) {
    for (size_t others = 0; others <= close_others.size(); ++others) {
      if (!has_guest && (!close_main || others < close_others.size())) continue;
      Acts closes(close_others.begin(), close_others.begin() + static_cast<ptrdiff_t>(others));
      if (close_main) closes.push_back({Kind::close, 0});
      if (!script.return_path || close_main) add(closes);
      if (!script.return_path) continue;
      for (const Kind shut : {Kind::shut0, Kind::shut1}) {
        if (shut == Kind::shut0 && !has_guest) continue;
        Acts acts = closes;
        acts.push_back({shut, 0});
        add(acts);
      }
    }
  }
  // Half-closes, if the destination can continue after them.
  if (!script.return_path || has_guest) {
    all.push_back({{Kind::half_close, 0}});
    if (script.data > 0) {
      Acts acts;
      if (has_guest && script.return_path) acts.push_back({Kind::shut0, 0});
      all.push_back(acts);
      all.back().insert(all.back().begin(), {Kind::half_close, 1});
      all.push_back(acts);
      all.back().insert(all.back().begin(), {{Kind::half_close, 1}, {Kind::half_close, 2}});
    }
    if (has_guest && script.return_path) all.push_back({{Kind::shut0, 0}, {Kind::half_close, 0}});
  }
  return all;
}

enum class Shape { single, multifd, preempt };
struct Family {
  Opaque opaque;
  Shape shape;
  bool return_path;
  Place place;

  Script script() const {
    return {.opaque = opaque,
            .return_path = return_path,
            .data = shape == Shape::multifd ? 2u : 0u,
            .preempt = shape == Shape::preempt};
  }
  std::string name() const {
    static constexpr const char* opaque_names[] = {"Parsed", "Opaque", "OpaqueBeforeBlocks",
                                                   "OpaqueBehindBlocks", "OpaqueMidway"};
    static constexpr const char* shape_names[] = {"Single", "Multifd", "Preempt"};
    return fmt::format("{}{}{}{}", opaque_names[static_cast<int>(opaque)],
                       shape_names[static_cast<int>(shape)], place == Place::direct ? "Direct" : "Relay",
                       return_path ? "" : "WithoutReturnPath");
  }
};

void PrintTo(const Family& family, std::ostream* out) {
  *out << family.name();
}

std::vector<Family> families() {
  std::vector<Family> all;
  for (const Opaque opaque :
       {Opaque::never, Opaque::start, Opaque::before_blocks, Opaque::behind_blocks, Opaque::midway}) {
    for (const Shape shape : {Shape::single, Shape::multifd, Shape::preempt}) {
      // A silent channel is recognised as the preempt channel only if the main channel is parsed.
      if (shape == Shape::preempt && (opaque == Opaque::start || opaque == Opaque::before_blocks)) continue;
      all.push_back({opaque, shape, true, Place::relay});
      // Streams without blocks or without PONG, and postcopy, are relayed in any case.
      if (shape == Shape::preempt) continue;
      all.push_back({opaque, shape, false, Place::relay});
      if (opaque == Opaque::start || opaque == Opaque::before_blocks) continue;
      all.push_back({opaque, shape, true, Place::direct});
    }
  }
  return all;
}

// Silences Wherry's log, which would have hundreds of lines of failures.
class Quiet {
 public:
  Quiet() : before_(spdlog::get_level()) { spdlog::set_level(spdlog::level::off); }
  ~Quiet() { spdlog::set_level(before_); }

 private:
  const spdlog::level::level_enum before_;
};

class Ownership : public testing::TestWithParam<Family> {
  const Quiet quiet_;
};

TEST_P(Ownership, IsARelays) {
  Script script = GetParam().script();
  int stuck = 0;
  for (const Moment moment : kMoments) {
    // Without a return path and with only one write left, the relay's source always completes with that
    // write.
    if (moment == Moment::device && !script.return_path) continue;
    // The preempt channel is recognised only after START.
    if (moment == Moment::header && script.preempt) continue;
    script.moment = moment;
    for (const Acts& acts : sensible_acts(script, moment)) {
      script.acts = acts;
      for (const bool apart : {true, false}) {
        script.apart = apart;
        if (!check(script, GetParam().place) && ++stuck == 3)
          FAIL() << "three scripts of this family did not end by themselves: the rest is skipped";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Scripts, Ownership, testing::ValuesIn(families()),
                         [](const auto& info) { return info.param.name(); });

struct Killing {
  bool sender;  // whether the sender is killed; if false, the receiver is
  Family family;
  std::string name() const { return (sender ? "Sender" : "Receiver") + family.name(); }
};

std::vector<Killing> killings() {
  std::vector<Killing> all;
  for (const Family& family : families()) {
    const bool extreme = family.opaque == Opaque::never || family.opaque == Opaque::start;
    if (!extreme || family.shape == Shape::preempt) continue;
    for (const bool sender : {true, false}) all.push_back({sender, family});
  }
  return all;
}

void PrintTo(const Killing& killing, std::ostream* out) {
  *out << killing.name();
}

// Each moment is a test of its own, because a sender waits if its receiver is killed after the last page.
class OwnershipOfTheKilled : public testing::TestWithParam<std::tuple<Killing, Moment>> {
  const Quiet quiet_;
};

TEST_P(OwnershipOfTheKilled, IsARelays) {
  const auto& [killing, moment] = GetParam();
  Script script = killing.family.script();
  script.moment = moment;
  std::vector<Acts> all{{{Kind::cut}}};
  if (moment == Moment::whole && script.return_path) all.push_back({{Kind::shut0}, {Kind::cut}});
  for (const Acts& acts : all) {
    for (const bool apart : {true, false}) {
      script.acts = acts;
      script.apart = apart;
      SCOPED_TRACE(script.name());
      const TempDir directory;
      const WherryProcesses pair(directory.at("from"), directory.at("to"), killing.family.place);
      const Watchdog watchdog(script.name());
      ScriptedSource source(script);
      std::promise<void> killed;
      const auto kill = [&, sender = killing.sender] {
        sender ? pair.kill_sender() : pair.kill_receiver();
        killed.set_value();
      };
      ScriptedDestination destination(directory.at("to"), script, source, kill);
      const Played played = play(source, destination, directory.at("from"), [&](auto&) {
        // A source that completes with its last write can have completed before.
        if (!script.return_path) (void)killed.get_future().wait_for(kPatience);
        pair.kill_sender();
        pair.kill_receiver();
        return true;
      });
      EXPECT_TRUE(played.complaints.empty()) << text(played.complaints);
      const std::set<Ends> allowed = ends_of_cut_relay(script, played.ends);
      EXPECT_TRUE(allowed.contains(played.ends)) << text(played.ends) << ", but a relay " << text(allowed);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Scripts, OwnershipOfTheKilled,
                         testing::Combine(testing::ValuesIn(killings()), testing::ValuesIn(kMoments)),
                         [](const auto& info) {
                           return fmt::format("{}At_{}", std::get<0>(info.param).name(),
                                              name(std::get<1>(info.param)));
                         });

// A destination that refuses the first bytes of a data channel, as under TLS. Everything that the source
// sends before it learns of that is wasted.
TEST(OwnershipOfTheRefused, TheSourceHearsOfTheEndBeforeMuchMoreIsRead) {
  const Quiet quiet;
  const Script script{.opaque = Opaque::start,
                      .data = 2,
                      .flood = 64 << 20,
                      .moment = Moment::header,
                      .acts = {{Kind::close, 1}, {Kind::close, 0}},
                      .apart = false};
  const Watchdog watchdog(script.name());
  const Played relayed = through_relay(script);
  const ThroughWherry played = through_wherry(script, Place::relay);
  EXPECT_EQ(relayed.ends, Ends("failed", "failed"));
  EXPECT_EQ(played.ends, relayed.ends) << text(played.complaints);
  EXPECT_LT(played.sender.traffic.in_flight_bound * 2, script.flood / 2) << "the test would show nothing";
  EXPECT_LE(played.written, relayed.written + 2 * played.sender.traffic.in_flight_bound);
  RecordProperty("relay", std::to_string(relayed.written));
  RecordProperty("wherry", std::to_string(played.written));
}

// Under TLS, cancelled while the last bytes are in transit. An answer of the destination does not prove that
// the source has read it.
TEST(OwnershipOfTheCancelled, ASourceThatHasLeftTheAnswerUnreadMayHaveKeptItsGuest) {
  const Quiet quiet;
  const Watchdog watchdog("an answer that nobody reads");
  const TempDir directory;
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto at = [](const std::string& path) {
    sockaddr_un address{AF_UNIX, {}};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  };
  const sockaddr_un to = at(directory.at("to"));
  const sockaddr_un from = at(directory.at("from"));
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  WherryPair pair(directory.at("from"), directory.at("to"), Place::relay, true);

  Fd source(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(source.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from), 0);
  ByteVector bytes = scripted_hello();
  ASSERT_EQ(::send(source.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  Fd destination(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_EQ(::recv(destination.get(), bytes.data(), bytes.size(), MSG_WAITALL),
            static_cast<ssize_t>(bytes.size()));
  ASSERT_EQ(::send(destination.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  pollfd answered{source.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&answered, 1, kPatience.count()), 1);
  source.reset();
  EXPECT_EQ(::recv(destination.get(), bytes.data(), bytes.size(), 0), 0);
  destination.reset();
  EXPECT_TRUE(pair.end().empty());
  EXPECT_EQ(pair.sender().status(), "unknown") << pair.sender().error();
  EXPECT_EQ(pair.receiver().status(), "unknown") << pair.receiver().error();
}

}  // namespace
}  // namespace wherry::qemu::test
