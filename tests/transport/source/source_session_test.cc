// The source's end, against destinations made by hand.
#include "transport/source/source_session.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/source/way_back_log.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"
#include "transport/socket/endpoint.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::bytes_of;
using Log = test::ModelSite::Log;

class SourceTest : public testing::Test {
 protected:
  SourceTest() : watchdog_("a source session") {}
  Result<std::unique_ptr<SourceSession>> connect(size_t lanes = 1) {
    return SourceSession::connect(
        {.peers = {raw_.where()}, .lanes = lanes, .route = "host/1", .wishes = {{"wish", 1u}}}, back_.way(),
        failure_);
  }
  void establish(size_t lanes) {
    std::thread welcoming([this] { raw_.welcome(); });
    auto connected = connect(lanes);
    welcoming.join();
    ASSERT_TRUE(connected) << connected.error().message;
    source_ = std::move(*connected);
  }
  // A destination that answers the hello like this gets no session. The error has `why`, and names the peer.
  template <class... Parts>
  void expect_no_session(const std::function<void(test::RawConnection&)>& answer, const Parts&... why) {
    std::thread answering([&] {
      test::RawConnection control = raw_.accept();
      EXPECT_TRUE(control.receive(FrameType::hello));
      answer(control);
    });
    auto connected = connect();
    answering.join();
    EXPECT_ERROR(connected, why..., raw_.where().str());
  }

  test::Watchdog watchdog_;
  test::RawDestination raw_;
  test::WayBackLog back_;
  Failure failure_;
  std::unique_ptr<SourceSession> source_;
};

TEST_F(SourceTest, SaysHelloOnEachConnection) {
  establish(3);
  EXPECT_EQ(raw_.hello.value("lanes", 0u), 3u);
  EXPECT_EQ(raw_.hello.value("wishes", json()), (json{{"wish", 1u}}));
  EXPECT_EQ(raw_.hello.value("requires", json()), json::array());
  for (uint32_t i = 0; i < 3; ++i)
    EXPECT_EQ(raw_.lane_hellos[i], (json{{"token", "the token"}, {"lane", i}, {"route", "host/1"}}));
  EXPECT_EQ(raw_.hello.value("route", ""), "host/1");
}

TEST_F(SourceTest, EachSessionDrawsASecretOfItsOwn) {
  std::set<json> secrets;
  for (int i = 0; i < 3; ++i) {
    std::thread hearing([this] {
      test::RawConnection control = raw_.accept();
      auto hello = control.receive(FrameType::hello);
      ASSERT_TRUE(hello);
      raw_.hello = hello->map();
    });
    EXPECT_FALSE(connect());
    hearing.join();
    auto secret = numbers<uint8_t>(raw_.hello, "secret");
    ASSERT_TRUE(secret) << secret.error().message;
    EXPECT_EQ(secret->size(), kSecretBytes);
    EXPECT_TRUE(secrets.insert(*secret).second);
  }
}

TEST_F(SourceTest, ARefusalBecomesTheError) {
  expect_no_session(
      [](test::RawConnection& control) {
        (void)control.send({.type = FrameType::refuse}, bytes_of("no\nroom"));
      },
      "no\\nroom");
}

TEST_F(SourceTest, TheErrorIsThatOfTheFirstLaneThatHasOne) {
  std::thread refusing([this] {
    test::RawConnection control = raw_.accept();
    auto hello = control.receive();
    ASSERT_TRUE(hello);
    raw_.hello = hello->map();
    EXPECT_TRUE(control.send(FrameType::welcome, {{"token", "the token"}}));
    raw_.await_lanes();
    EXPECT_TRUE(raw_.lanes[2].send({.type = FrameType::refuse}, bytes_of("the third")));
    EXPECT_FALSE(raw_.lanes[2].receive()) << "it closes the lane";
    EXPECT_TRUE(raw_.lanes[0].send(FrameType::welcome, json::object()));
    EXPECT_TRUE(raw_.lanes[1].send({.type = FrameType::refuse}, bytes_of("the second")));
    EXPECT_FALSE(raw_.lanes[0].receive()) << "it closes this lane as well";
    EXPECT_FALSE(control.receive());
  });
  EXPECT_ERROR(connect(3), "the second");
  refusing.join();
}

TEST_F(SourceTest, AnotherAnswerThanAWelcomeIsAnError) {
  expect_no_session([](test::RawConnection& control) { (void)control.send({.type = FrameType::ack}); },
                    "without a welcome");
}

TEST_F(SourceTest, AWelcomeWithoutATokenIsAnError) {
  std::thread answering([&] {
    test::RawConnection control = raw_.accept();
    EXPECT_TRUE(control.receive(FrameType::hello));
    EXPECT_TRUE(control.send(FrameType::welcome, {{"token", 5u}}));
    (void)control.receive();
  });
  EXPECT_ERROR(connect(), "no valid \"token\"");
  answering.join();
}

// It refuses in its own version, so what it says cannot be read.
TEST_F(SourceTest, APeerOfAnotherVersionIsNamedWithWhatToUpdate) {
  for (const uint8_t version : {1, 9}) {
    expect_no_session(
        [version](test::RawConnection& control) {
          HeaderBytes bytes = encode_header({.type = FrameType::refuse}, {});
          bytes[4] = version;
          (void)control.send_bytes(bytes);
        },
        fmt::format("version {}", version), version == 1 ? "update Wherry there" : "update Wherry here");
  }
}

TEST_F(SourceTest, APeerThatHangsUpIsAnError) {
  expect_no_session([](test::RawConnection& control) { control.shut(); }, "without an answer");
}

TEST_F(SourceTest, NobodyThereIsAnErrorThatHelps) {
  raw_.listener->stop();
  const Endpoint gone = raw_.where();
  raw_.listener = fail("closed");
  EXPECT_ERROR(SourceSession::connect({.peers = {gone}}, back_.way(), failure_), gone.str(),
               "does `wherry receive` run");
}

TEST_F(SourceTest, APeerThatIsKilledEndsTheSession) {
  establish(2);
  auto main = source_->open_channel(ChannelKind::main);
  raw_.control->shut();
  for (auto& lane : raw_.lanes) lane.shut();
  EXPECT_FALSE(source_->finish(json::object()));
  EXPECT_EQ(main->take_room(1, true), 0u);
}

TEST_F(SourceTest, TheLastLaneThatDiesEndsTheSession) {
  establish(2);
  auto main = source_->open_channel(ChannelKind::main);
  for (auto& lane : raw_.lanes) lane.shut();
  EXPECT_ERROR(source_->finish(json::object()), "last lane", raw_.where().str());
}

// Two lanes and a channel, whose opening the dying one has brought.
class LostLane : public SourceTest {
 protected:
  void SetUp() override {
    establish(2);
    main_ = source_->open_channel(ChannelKind::main);
    dying_ = lane_with_frame();
    ASSERT_TRUE(lane(dying_).receive(FrameType::open));
  }
  test::RawConnection& lane(size_t i) { return raw_.lanes[i]; }
  test::RawConnection& other() { return lane(1 - dying_); }
  // Waits for a frame on any lane; says on which.
  size_t lane_with_frame() {
    std::array<pollfd, 2> lanes{pollfd{lane(0).fd(), POLLIN, 0}, pollfd{lane(1).fd(), POLLIN, 0}};
    poll(lanes.data(), lanes.size(), std::chrono::milliseconds(test::kForever).count());
    return lanes[0].revents ? 0 : 1;
  }
  void expect_lane_lost() {
    auto lost = raw_.control->receive();
    ASSERT_TRUE(lost) << lost.error().message;
    EXPECT_EQ(lost->type(), FrameType::lane_lost);
    EXPECT_EQ(lost->head.header.aux, dying_);
  }
  Result<> say_ended() {
    return raw_.control->send({.type = FrameType::lane_ended, .aux = static_cast<uint32_t>(dying_)});
  }
  void expect_on_other(FrameType type, uint64_t sequence) {
    auto frame = other().receive();
    ASSERT_TRUE(frame) << frame.error().message;
    EXPECT_EQ(frame->type(), type);
    EXPECT_EQ(frame->head.header.sequence, sequence);
  }
  void acknowledge(uint64_t from, uint64_t to) {
    for (uint64_t sequence = from; sequence <= to; ++sequence)
      ASSERT_TRUE(raw_.control->send({.type = FrameType::ack, .sequence = sequence}));
  }
  // Everything is acknowledged, and both sides say that they are done.
  void expect_good_end() {
    std::thread leaving([&] {
      EXPECT_TRUE(raw_.control->receive(FrameType::done));
      EXPECT_TRUE(raw_.control->send(FrameType::done, json::object()));
    });
    auto ended = source_->finish(json::object());
    leaving.join();
    EXPECT_TRUE(ended) << ended.error().message;
    EXPECT_FALSE(failure_.failed());
  }

  std::unique_ptr<SourceChannel> main_;
  size_t dying_ = 0;
};

TEST_F(LostLane, GivesWhatItHadToTheOtherOnceTheDestinationIsDoneWithIt) {
  lane(dying_).shut();
  expect_lane_lost();
  main_->record(bytes_of("new"), 0, 0, 0);
  expect_on_other(FrameType::record, 1);
  ASSERT_TRUE(say_ended());
  expect_on_other(FrameType::open, 0);
  acknowledge(0, 1);
  expect_good_end();
  const auto lanes = source_->totals().lanes;
  EXPECT_FALSE(lanes[dying_].lost.empty());
  EXPECT_TRUE(lanes[1 - dying_].lost.empty());
}

TEST_F(LostLane, MayBeFoundByTheDestination) {
  ASSERT_TRUE(say_ended());
  expect_on_other(FrameType::open, 0);
  EXPECT_FALSE(lane(dying_).receive()) << "it is shut";
  acknowledge(0, 0);
  expect_good_end();
  EXPECT_ERROR(source_->totals().lanes[dying_].lost, raw_.where().str(), "lost it");
}

TEST_F(LostLane, MayBeFoundInTheMiddleOfAFrame) {
  // More than the kernel takes: whoever sends it waits.
  constexpr uint64_t kRecords = 40;
  for (uint64_t i = 0; i < kRecords; ++i) main_->record(test::noise(kMaxBody, 1), 0, 0, 0);
  ASSERT_TRUE(lane(dying_).receive(FrameType::record));
  ASSERT_TRUE(say_ended());
  std::set<uint64_t> came;
  while (came.size() < 1 + kRecords) {
    auto frame = other().receive();
    ASSERT_TRUE(frame) << frame.error().message;
    came.insert(frame->head.header.sequence);
  }
  acknowledge(0, kRecords);
  expect_good_end();
}

TEST_F(LostLane, BringsNothingThatIsAcknowledged) {
  acknowledge(0, 0);
  lane(dying_).shut();
  expect_lane_lost();
  ASSERT_TRUE(say_ended());
  main_->record(bytes_of("new"), 0, 0, 0);
  expect_on_other(FrameType::record, 1);
  acknowledge(1, 1);
  expect_good_end();
}

TEST_F(LostLane, IsNothingBehindDone) {
  acknowledge(0, 0);
  std::thread leaving([&] {
    EXPECT_TRUE(raw_.control->receive(FrameType::done));
    for (auto& lane : raw_.lanes) lane.shut();
    EXPECT_TRUE(raw_.control->send(FrameType::done, json::object()));
  });
  auto ended = source_->finish(json::object());
  leaving.join();
  EXPECT_TRUE(ended) << ended.error().message;
  source_.reset();
  EXPECT_FALSE(failure_.failed());
}

TEST_F(LostLane, MakesAnAgainThatCrossesAnAckNothing) {
  lane(dying_).shut();
  expect_lane_lost();
  ASSERT_TRUE(say_ended());
  acknowledge(0, 0);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::again, .sequence = 0}));
  expect_good_end();
}

TEST_F(SourceTest, ALaneThatIsNoneCannotEnd) {
  establish(2);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::lane_ended, .aux = 2}));
  EXPECT_ERROR(source_->finish(json::object()), "lane 2");
}

TEST_F(SourceTest, AnAgainForNothingIsRefused) {
  establish(2);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::again, .sequence = 0}));
  EXPECT_ERROR(source_->finish(json::object()), "asked again");
}

TEST_F(SourceTest, ADestinationThatGivesUpSaysWhy) {
  establish(1);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::failed}, bytes_of("no\x1b room")));
  EXPECT_ERROR(source_->finish(json::object()), "destination", R"(no\x1b room)");
}

TEST_F(SourceTest, ADestinationThatNeverHadTheGuestSaysSo) {
  establish(1);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::failed, .aux = kNeverThere}, bytes_of("no room")));
  EXPECT_ERROR(source_->finish(json::object()), "destination", "no room");
  EXPECT_TRUE(back_.wait(0, "<never there>"));
}

// What came over the session, and what comes over a connection of its own when that is lost, is one way back.
TEST_F(SourceTest, TheLastWordIsAskedForAnew) {
  establish(1);
  auto main = source_->open_channel(ChannelKind::main);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::reverse}, bytes_of("pong ")));
  ASSERT_TRUE(back_.wait(0, "pong "));
  raw_.control->shut();
  EXPECT_FALSE(source_->finish(json::object()));
  std::thread answering([&] {
    for (const bool cut : {true, false}) {
      test::RawConnection asking = raw_.accept();
      auto question = asking.receive(FrameType::last_word);
      ASSERT_TRUE(question);
      EXPECT_EQ(question->map(), (json{{"token", "the token"}, {"route", "host/1"}, {"heard", cut ? 5 : 7}}));
      ASSERT_TRUE(asking.send(FrameType::welcome, json::object()));
      ASSERT_TRUE(asking.send({.type = FrameType::reverse}, bytes_of(cut ? "sh" : "ut")));
      if (cut) continue;
      ASSERT_TRUE(asking.send({.type = FrameType::reverse_close, .aux = kBothWays}));
      ASSERT_TRUE(asking.send(FrameType::done, {{"side", "destination"}}));
      EXPECT_TRUE(asking.receive(FrameType::done));
    }
  });
  const Event nobody;
  auto account = source_->last_word(std::chrono::steady_clock::now() + test::kForever, nobody);
  answering.join();
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(*account, (json{{"side", "destination"}}));
  EXPECT_TRUE(back_.wait(0, "pong shut<closed>"));
}

TEST_F(SourceTest, TheLastWordIsAskedForOnlySoLong) {
  establish(1);
  raw_.control->shut();
  EXPECT_FALSE(source_->finish(json::object()));
  raw_.listener->stop();
  const Event nobody;
  EXPECT_ERROR(source_->last_word(std::chrono::steady_clock::now(), nobody), "cannot connect");
  nobody.raise();
  EXPECT_FALSE(source_->last_word(std::chrono::steady_clock::now() + test::kForever, nobody));
}

TEST_F(SourceTest, AnAcknowledgementOfNothingIsRefused) {
  establish(1);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::ack, .channel = 3, .sequence = 4}));
  EXPECT_ERROR(source_->finish(json::object()), "acknowledged", "never sent");
}

TEST_F(SourceTest, AnAcknowledgementThatComesTwiceIsRefused) {
  establish(1);
  auto main = source_->open_channel(ChannelKind::main);
  ASSERT_TRUE(raw_.lanes[0].receive(FrameType::open));
  ASSERT_TRUE(raw_.control->send({.type = FrameType::ack}));
  ASSERT_TRUE(raw_.control->send({.type = FrameType::ack}));
  main->record(bytes_of("x"), 0, 0, 0);  // so that something is still waited for
  EXPECT_ERROR(source_->finish(json::object()), "acknowledged", "never sent");
}

TEST_F(SourceTest, AFrameThatDoesNotBelongOnTheControlConnectionIsRefused) {
  establish(1);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::open}));
  EXPECT_ERROR(source_->finish(json::object()), "`open`", "control connection");
}

TEST_F(SourceTest, AnAccountThatIsNoMapIsRefused) {
  establish(1);
  ASSERT_TRUE(raw_.control->send({.type = FrameType::done}, bytes_of("?")));
  EXPECT_ERROR(source_->finish(json::object()), "CBOR");
}

TEST_F(SourceTest, FramesLookAsTheyShould) {
  establish(1);
  auto main = source_->open_channel(ChannelKind::main);
  auto data = source_->open_channel(ChannelKind::data);
  data->record(bytes_of("sync"), kEpochEnd, 0, 0);
  data->record(bytes_of("more"), kOpaque, 0, 0);
  data->close(false);
  auto frame = raw_.lanes[0].receive();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->type(), FrameType::open);
  EXPECT_EQ(frame->head.header.channel, 0);
  EXPECT_EQ(frame->head.header.aux, 0u);
  struct Expected {
    FrameType type;
    uint64_t sequence;
    uint32_t epoch;
    uint32_t aux;
    std::string body;
  };
  const std::vector<Expected> expected = {{FrameType::open, 0, 0, 1, ""},
                                          {FrameType::record, 1, 0, 0, "sync"},
                                          {FrameType::record, 2, 1, 0, "more"},
                                          {FrameType::close, 3, 1, 0, ""}};
  for (const Expected& one : expected) {
    frame = raw_.lanes[0].receive();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->type(), one.type);
    EXPECT_EQ(frame->head.header.channel, 1);
    EXPECT_EQ(frame->head.header.sequence, one.sequence);
    EXPECT_EQ(frame->head.header.epoch, one.epoch);
    EXPECT_EQ(frame->head.header.aux, one.aux);
    EXPECT_EQ(frame->text(), one.body);
  }
}

}  // namespace
}  // namespace wherry
