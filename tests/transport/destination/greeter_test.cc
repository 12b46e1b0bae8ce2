// The greeting against peers made by hand.
#include "transport/destination/greeter.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/transport/destination/destination_fixture.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::RawConnection;

class GreeterTest : public test::DestinationFixture {};

TEST_F(GreeterTest, AFailedAcceptLeavesNothingBehind) {
  listener_->stop();
  accepting_.join();
  EXPECT_FALSE(session_);
  failure_.fail({"later"});  // nothing of the session must be called any more
}

TEST_F(GreeterTest, GarbageIsRefusedAndTheWaitingGoesOn) {
  RawConnection garbage(where());
  ASSERT_TRUE(garbage.send_bytes(
      bytes_of("GET / HTTP/1.1\r\nHost: example.org\r\nAccept: everything\r\n\r\n        ")));
  EXPECT_ERROR(garbage.refusal(), "not a Wherry frame");
  { RawConnection silent(where()); }
  RawConnection shorter(where());
  ASSERT_TRUE(shorter.send_bytes(bytes_of("hi")));
  shorter.end_sending();
  EXPECT_ERROR(shorter.refusal(), "ended in the middle");
  establish(1);
}

TEST_F(GreeterTest, APeerOfAnotherWireVersionIsRefusedByNumber) {
  RawConnection other(where());
  HeaderBytes hello = encode_header({.type = FrameType::hello}, {});
  hello[4] = 1;
  ASSERT_TRUE(other.send_bytes(hello));
  EXPECT_ERROR(other.refusal(), "version 1", "update Wherry there");
  establish(1);
}

TEST_F(GreeterTest, AHelloThatIsNoMapIsRefused) {
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::hello, json::array({1, 2})));
  EXPECT_ERROR(other.refusal(), "not a CBOR map");
  RawConnection empty(where());
  ASSERT_TRUE(empty.send({.type = FrameType::hello}));
  EXPECT_ERROR(empty.refusal(), "not valid CBOR");
  establish(1);
}

TEST_F(GreeterTest, AHelloOutOfBoundsIsRefused) {
  const std::vector<std::pair<const char*, json>> wrong = {{"lanes", 0u},
                                                           {"lanes", 65u},
                                                           {"lanes", "4"},
                                                           {"lanes", -1},
                                                           {"lanes", (uint64_t{1} << 32) + 1},
                                                           {"silence_s", 0u},
                                                           {"silence_s", 3601u},
                                                           {"silence_s", 1.5},
                                                           {"silence_s", nullptr}};
  for (const auto& [key, value] : wrong) {
    json hello = test::valid_hello(1);
    hello[key] = value;
    RawConnection other(where());
    ASSERT_TRUE(other.send(FrameType::hello, hello));
    EXPECT_ERROR(other.refusal(), "\"lanes\"", "\"silence_s\"") << key << value;
  }
  establish(1);
}

TEST_F(GreeterTest, AHelloWithoutAValidSecretIsRefused) {
  json too_large(test::kSampleSecret);
  too_large.back() = 256u;
  json negative(test::kSampleSecret);
  negative.front() = -1;
  const std::vector<json> wrong = {nullptr,
                                   7u,
                                   "secret",
                                   json::array(),
                                   std::vector<uint8_t>(kSecretBytes - 1),
                                   std::vector<uint8_t>(kSecretBytes + 1),
                                   too_large,
                                   negative};
  json hello = test::valid_hello(1);
  hello.erase("secret");
  for (size_t i = 0;; ++i) {
    RawConnection other(where());
    ASSERT_TRUE(other.send(FrameType::hello, hello));
    EXPECT_ERROR(other.refusal(), "\"secret\"", "384") << hello["secret"];
    if (i == wrong.size()) break;
    hello["secret"] = wrong[i];
  }
  establish(1);
}

TEST_F(GreeterTest, AnUnknownRequiredCapabilityIsRefusedByName) {
  json hello = test::valid_hello(1);
  hello["requires"] = {"teleport"};
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::hello, hello));
  EXPECT_ERROR(other.refusal(), "capability \"teleport\"", "update");
  establish(1);
}

// A capability may be anything, even text that is not UTF-8.
TEST_F(GreeterTest, ACapabilityThatCannotBePrintedIsRefusedAllTheSame) {
  json hello = test::valid_hello(1);
  hello["requires"] = json::array({json::array({"\xff\xfe"})});
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::hello, hello));
  EXPECT_ERROR(other.refusal(), "capability");
  establish(1);
}

TEST_F(GreeterTest, UnknownKeysOfAHelloAreIgnored) {
  json hello = test::valid_hello(1);
  hello["of_the_future"] = {1, 2, 3};
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::hello, hello));
  auto welcome = other.receive();
  ASSERT_TRUE(welcome);
  EXPECT_EQ(welcome->type(), FrameType::welcome);
}

TEST_F(GreeterTest, AnotherFirstFrameIsRefused) {
  for (FrameType type : {FrameType::record, FrameType::ack, FrameType::done, FrameType::welcome}) {
    RawConnection other(where());
    ASSERT_TRUE(other.send(type, json::object()));
    EXPECT_ERROR(other.refusal(), "begins with a hello");
  }
  establish(1);
}

TEST_F(GreeterTest, ALaneBeforeAnySessionIsRefused) {
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::lane_hello, {{"token", ""}, {"lane", 0u}}));
  EXPECT_ERROR(other.refusal(), "lane token");
  establish(1);
}

TEST_F(GreeterTest, ALaneWithAnotherTokenOrNumberIsRefusedAndTheSessionUnharmed) {
  RawConnection control(where());
  ASSERT_TRUE(control.send(FrameType::hello, test::valid_hello(2)));
  auto welcome = control.receive();
  ASSERT_TRUE(welcome);
  const std::string token = welcome->map().value("token", "");
  EXPECT_EQ(token.size(), 32u);
  auto refused = [&](const json& hello) {
    RawConnection lane(where());
    EXPECT_TRUE(lane.send(FrameType::lane_hello, hello));
    return lane.refusal();
  };
  std::string wrong = token;
  wrong[31] = wrong[31] == '0' ? '1' : '0';
  EXPECT_ERROR(refused({{"token", wrong}, {"lane", 0u}}), "lane token");
  EXPECT_ERROR(refused({{"token", token.substr(0, 31)}, {"lane", 0u}}), "lane token");
  EXPECT_ERROR(refused({{"token", 7u}, {"lane", 0u}}), "lane token");
  EXPECT_ERROR(refused({{"lane", 0u}}), "lane token");
  EXPECT_ERROR(refused({{"token", token}, {"lane", 2u}}), "no such lane");
  EXPECT_ERROR(refused({{"token", token}}), "no such lane");
  RawConnection first(where());
  ASSERT_TRUE(first.send(FrameType::lane_hello, {{"token", token}, {"lane", 0u}}));
  ASSERT_EQ(first.receive()->type(), FrameType::welcome);
  EXPECT_ERROR(refused({{"token", token}, {"lane", 0u}}), "has it already");
  RawConnection second(where());
  ASSERT_TRUE(second.send(FrameType::lane_hello, {{"token", token}, {"lane", 1u}}));
  ASSERT_EQ(second.receive()->type(), FrameType::welcome);
  accepting_.join();
  EXPECT_TRUE(session_);
}

TEST_F(GreeterTest, ASecondSourceIsRefusedAsBusy) {
  {
    RawConnection first(where());
    ASSERT_TRUE(first.send(FrameType::hello, test::valid_hello(1)));
    auto welcome = first.receive();
    ASSERT_TRUE(welcome);
    RawConnection second(where());
    ASSERT_TRUE(second.send(FrameType::hello, test::valid_hello(1)));
    EXPECT_ERROR(second.refusal(), "busy") << "while the lanes are missing";
    RawConnection lane(where());
    ASSERT_TRUE(lane.send(FrameType::lane_hello, {{"token", welcome->map()["token"]}, {"lane", 0u}}));
    ASSERT_EQ(lane.receive()->type(), FrameType::welcome);
    accepting_.join();
    session_->start();
    RawConnection third(where());
    ASSERT_TRUE(third.send(FrameType::hello, test::valid_hello(1)));
    EXPECT_ERROR(third.refusal(), "busy") << "while the session runs";
  }
  EXPECT_FALSE(session_->finish());
}

// The slow caller never finishes its hello.
TEST_F(GreeterTest, ASlowCallerHoldsNobodyUp) {
  RawConnection slow(where());
  const HeaderBytes head = encode_header({.type = FrameType::hello, .body_length = 16 * 1024}, {});
  ASSERT_TRUE(slow.send_bytes(head));
  std::atomic<bool> established = false;
  std::thread speaking([&] {
    while (!established && slow.send_bytes(bytes_of("a")))
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  establish(2);
  established = true;
  speaking.join();
}

// It is never silent for long.
TEST_F(GreeterTest, ACallerHasAFixedTimeForItsHello) {
  test::Watchdog watchdog("a slow caller");
  RawConnection slow(where());
  const HeaderBytes head = encode_header({.type = FrameType::hello, .body_length = 16 * 1024}, {});
  ASSERT_TRUE(slow.send_bytes(head));
  pollfd refused{slow.fd(), POLLIN, 0};
  while (::poll(&refused, 1, 50) == 0) ASSERT_TRUE(slow.send_bytes(bytes_of("a")));
  EXPECT_ERROR(slow.refusal(), "first frame", "in time");
  establish(1);
}

TEST_F(GreeterTest, AHelloMayNotBeLarge) {
  RawConnection large(where());
  json hello = test::valid_hello(1);
  hello["of_the_future"] = std::string(16 * 1024, 'x');
  ASSERT_TRUE(large.send(FrameType::hello, hello));
  EXPECT_ERROR(large.refusal(), "does not begin with this frame");
  establish(1);
}

TEST_F(GreeterTest, ALaneThatIsSlowToOpenHoldsNoOtherUp) {
  RawConnection control(where());
  ASSERT_TRUE(control.send(FrameType::hello, test::valid_hello(2)));
  auto welcome = control.receive();
  ASSERT_TRUE(welcome);
  const json token = welcome->map()["token"];
  RawConnection slow(where());
  ASSERT_TRUE(slow.send(FrameType::lane_hello, {{"token", token}, {"lane", 0u}, {"fabric", "tcp"}}));
  auto listens = slow.receive();
  ASSERT_TRUE(listens);
  EXPECT_TRUE(listens->map().contains("fabric")) << listens->map();
  RawConnection again(where());
  ASSERT_TRUE(again.send(FrameType::lane_hello, {{"token", token}, {"lane", 0u}}));
  EXPECT_ERROR(again.refusal(), "has it already");
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::lane_hello, {{"token", token}, {"lane", 1u}}));
  ASSERT_EQ(other.receive()->type(), FrameType::welcome);
  // The first is still being opened.
  ASSERT_TRUE(slow.send(FrameType::lane_path, {{"fabric", false}, {"why", "slow"}}));
  auto answer = slow.receive();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_ERROR(answer->map().value("why", ""), "source", "slow");
  accepting_.join();
  ASSERT_TRUE(session_);
  EXPECT_EQ(session_->totals().lanes.size(), 2u);
}

// It comes back with its lanes while one of those that it had is still being opened.
TEST_F(GreeterTest, ALaneOfASourceThatDiedIsNotTheNextOnes) {
  RawConnection old(where());
  {
    RawConnection control(where());
    ASSERT_TRUE(control.send(FrameType::hello, test::valid_hello(1)));
    auto welcome = control.receive();
    ASSERT_TRUE(welcome);
    ASSERT_TRUE(old.send(FrameType::lane_hello,
                         {{"token", welcome->map()["token"]}, {"lane", 0u}, {"fabric", "tcp"}}));
    ASSERT_TRUE(old.receive());
  }
  RawConnection control(where());
  ASSERT_TRUE(control.send(FrameType::hello, test::valid_hello(1)));
  auto welcome = control.receive();
  ASSERT_TRUE(welcome);
  ASSERT_EQ(welcome->type(), FrameType::welcome);
  ASSERT_TRUE(old.send(FrameType::lane_path, {{"fabric", false}, {"why", "slow"}}));
  ASSERT_TRUE(old.receive());
  EXPECT_FALSE(old.receive()) << "it is disconnected";
  RawConnection lane(where());
  ASSERT_TRUE(lane.send(FrameType::lane_hello, {{"token", welcome->map()["token"]}, {"lane", 0u}}));
  EXPECT_EQ(lane.receive()->type(), FrameType::welcome);
  accepting_.join();
  EXPECT_TRUE(session_);
}

TEST_F(GreeterTest, StrangersCannotCauseAnyNumberOfThreads) {
  const auto threads = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(std::filesystem::begin(tasks), std::filesystem::end(tasks));
  };
  constexpr size_t kStrangers = 400;
  constexpr ptrdiff_t kMost = 300;
  constexpr ptrdiff_t kOfTheSession = 2;
  const auto before = threads();
  std::vector<std::unique_ptr<RawConnection>> strangers;
  ptrdiff_t most = 0;
  while (strangers.size() < kStrangers) {
    strangers.push_back(std::make_unique<RawConnection>(where()));
    most = std::max(most, threads() - before);
  }
  EXPECT_GT(most, kOfTheSession);
  EXPECT_LT(most, kMost);
  strangers.clear();
  while (threads() - before > kOfTheSession) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  establish(1);
}

// A source that dies between its hello and its lanes must not keep the receiver for ever.
TEST_F(GreeterTest, ASourceThatDiesBeforeItsLanesMakesRoomForAnother) {
  {
    RawConnection first(where());
    ASSERT_TRUE(first.send(FrameType::hello, test::valid_hello(2)));
    ASSERT_TRUE(first.receive());
  }
  establish(1);
}

TEST_F(GreeterTest, ASourceThatGivesUpForWantOfAFabricMakesRoomForAnother) {
  {
    RawConnection control(where());
    ASSERT_TRUE(control.send(FrameType::hello, test::valid_hello(1)));
    auto welcome = control.receive(FrameType::welcome);
    ASSERT_TRUE(welcome);
    RawConnection lane(where());
    const json hello = {{"token", welcome->map()["token"]}, {"lane", 0u}, {"fabric_only", true}};
    ASSERT_TRUE(lane.send(FrameType::lane_hello, hello));
    ASSERT_TRUE(lane.receive(FrameType::welcome));
    EXPECT_FALSE(lane.receive()) << "it does not count as one over TCP";
  }
  establish(1);
}

// Without a session.
class GreeterAlone : public testing::Test {
 protected:
  GreeterAlone()
      : watchdog_("a greeter"),
        listener_(Listener::open({.path = {}, .host = "127.0.0.1", .port = 0})),
        greeter_(
            *listener_, {}, fabrics_,
            [this](FrameSocket& socket, uint64_t heard) {
              heard_ = heard;
              socket.refuse("nobody tells");
            },
            failure_) {}
  void SetUp() override { ASSERT_TRUE(greeter_.start()); }
  Endpoint where() const { return listener_->where(); }

  test::Watchdog watchdog_;
  Result<Listener> listener_;
  FabricDomains fabrics_;
  Failure failure_;
  std::atomic<uint64_t> heard_ = 0;
  Greeter greeter_;
};

TEST_F(GreeterAlone, HandsOutASourceWithAllItsLanes) {
  RawConnection control(where());
  json hello = test::valid_hello(2);
  hello["silence_s"] = 7u;
  PageSecret secret = test::kSampleSecret;
  secret.back() = 99;
  hello["secret"] = secret;
  hello["wishes"] = {{"placement", "relay"}};
  ASSERT_TRUE(control.send(FrameType::hello, hello));
  auto welcome = control.receive(FrameType::welcome);
  ASSERT_TRUE(welcome);
  std::vector<RawConnection> lanes;
  for (const uint32_t number : {1, 0}) {
    lanes.emplace_back(where());
    const json lane = {{"token", welcome->map()["token"]}, {"lane", number}};
    ASSERT_TRUE(lanes.back().send(FrameType::lane_hello, lane));
    ASSERT_TRUE(lanes.back().receive(FrameType::welcome));
  }
  auto source = greeter_.await_source();
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(source->silence.count(), 7);
  EXPECT_EQ(source->secret, secret);
  EXPECT_EQ(source->wishes, hello["wishes"]);
  ASSERT_EQ(source->lanes.size(), 2u);
  ASSERT_TRUE(source->control->send({.type = FrameType::may_be_there}));
  EXPECT_TRUE(control.receive(FrameType::may_be_there));
  ASSERT_TRUE(lanes[0].send({.type = FrameType::record, .sequence = 11}));
  FrameHead head;
  auto news = source->lanes[1].receiver->next(head);
  ASSERT_TRUE(news) << news.error().message;
  EXPECT_EQ(head.header.sequence, 11u) << "each lane is at its number";
}

// A stranger does not choose which of libfabric's code it meets.
TEST_F(GreeterAlone, TakesNoLaneOverAProviderThatItWasNotTold) {
  RawConnection control(where());
  ASSERT_TRUE(control.send(FrameType::hello, test::valid_hello(2)));
  auto welcome = control.receive(FrameType::welcome);
  ASSERT_TRUE(welcome);
  const json token = welcome->map()["token"];
  std::vector<RawConnection> lanes;
  for (const char* provider : {"tcp", "tcp;ofi_rxm"}) {
    lanes.emplace_back(where());
    const json lane = {{"token", token}, {"lane", lanes.size() - 1}, {"fabric", provider}};
    ASSERT_TRUE(lanes.back().send(FrameType::lane_hello, lane));
    auto answer = lanes.back().receive(FrameType::welcome);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_ERROR(answer->map().value("no_fabric", ""), "at the receiver", "verbs");
    EXPECT_EQ(answer->map().size(), 1u);
  }
  auto source = greeter_.await_source();
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_ERROR(source->lanes[0].no_fabric, "at the receiver", "verbs");
}

TEST_F(GreeterAlone, TheWishesOfASourceThatDiedAreNotTheNextOnes) {
  {
    RawConnection first(where());
    json hello = test::valid_hello(1);
    hello["wishes"] = {{"placement", "relay"}};
    ASSERT_TRUE(first.send(FrameType::hello, hello));
    ASSERT_TRUE(first.receive(FrameType::welcome));
  }
  RawConnection second(where());
  json hello = test::valid_hello(1);
  hello.erase("wishes");
  ASSERT_TRUE(second.send(FrameType::hello, hello));
  auto welcome = second.receive(FrameType::welcome);
  ASSERT_TRUE(welcome);
  RawConnection lane(where());
  ASSERT_TRUE(lane.send(FrameType::lane_hello, {{"token", welcome->map()["token"]}, {"lane", 0u}}));
  auto source = greeter_.await_source();
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(source->wishes, json::object());
}

TEST_F(GreeterAlone, ASourceMayComeBackOnceItWasComplete) {
  RawConnection control(where());
  ASSERT_TRUE(control.send(FrameType::hello, test::valid_hello(1)));
  auto welcome = control.receive(FrameType::welcome);
  ASSERT_TRUE(welcome);
  const json token = welcome->map()["token"];
  const auto come_back = [&] {
    RawConnection back(where());
    EXPECT_TRUE(back.send(FrameType::last_word, {{"token", token}, {"route", ""}, {"heard", 5u}}));
    return back.refusal();
  };
  EXPECT_ERROR(come_back(), "token");
  RawConnection lane(where());
  ASSERT_TRUE(lane.send(FrameType::lane_hello, {{"token", token}, {"lane", 0u}}));
  ASSERT_TRUE(greeter_.await_source());
  EXPECT_ERROR(come_back(), "nobody tells");
  EXPECT_EQ(heard_, 5u);
}

TEST_F(GreeterAlone, AtItsEndHangsUpOnWhoeverIsBeingHeard) {
  RawConnection silent(where());
  std::thread waits([this] { EXPECT_FALSE(greeter_.await_source()); });
  greeter_.end();
  waits.join();
  EXPECT_FALSE(silent.receive());
  EXPECT_FALSE(failure_.failed()) << "it was asked to";
}

}  // namespace
}  // namespace wherry
