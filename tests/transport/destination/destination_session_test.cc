// The destination's end against peers made by hand: the handshake, and frames that no source of ours sends.
#include "transport/destination/destination_session.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <filesystem>
#include <optional>
#include <thread>

#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "compression/line_delta.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"
#include "transport/socket/listener.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::kModelPage;
using test::RawConnection;
using test::RawSource;
using Log = test::ModelSite::Log;

class DestinationTest : public testing::Test {
 protected:
  DestinationTest() : watchdog_("a destination session") {}
  void SetUp() override {
    auto listener = Listener::open({.path = {}, .host = "127.0.0.1", .port = 0});
    ASSERT_TRUE(listener);
    listener_ = std::make_unique<Listener>(std::move(*listener));
    accepting_ = std::thread([this] {
      auto accepted = DestinationSession::accept(
          *listener_, site_,
          [](const json&) {
            return json{{"side", "destination"}};
          },
          failure_);
      if (accepted) session_ = std::move(*accepted);
    });
  }
  void TearDown() override {
    listener_->stop();
    if (accepting_.joinable()) accepting_.join();
    session_.reset();
  }

  const Endpoint& where() const { return listener_->where(); }
  // Control and lanes are there, and the session runs.
  void establish(uint32_t lanes) {
    source_.emplace(where(), lanes);
    accepting_.join();
    ASSERT_TRUE(session_);
    session_->start();
  }
  RawConnection& lane(size_t i = 0) { return source_->lanes[i]; }
  // Opens the main channel, names a block of 8 pages, and lets pages land.
  void begin(uint32_t lanes = 1) {
    establish(lanes);
    session_->ready();
    ASSERT_TRUE(lane().send({.type = FrameType::open}));
    ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1},
                                      json::to_cbor(test::model_blocks({8}).to_json())));
  }
  // The session fails cleanly: finish() says so, so does the peer's control connection, and all threads end.
  void expect_failure(const std::string& why) {
    EXPECT_ERROR(session_->finish(), why);
    auto told = source_->control.receive(FrameType::failed);
    ASSERT_TRUE(told) << told.error().message;
    EXPECT_NE(told->text().find(why), std::string::npos) << told->text();
    session_.reset();
    for (RawConnection& lane : source_->lanes) EXPECT_FALSE(lane.receive());
  }

  // The next that the destination says, acknowledgements and the like aside, is that it ended that lane.
  void expect_lane_ended(uint32_t lane) {
    auto ended = source_->control.receive(FrameType::lane_ended);
    ASSERT_TRUE(ended) << ended.error().message;
    EXPECT_EQ(ended->head.header.aux, lane);
  }

  static std::vector<uint8_t> table(uint16_t block, PageKind kind, uint32_t count, uint64_t first) {
    const PageRun run{block, kind, count, first};
    std::vector<uint8_t> bytes;
    put_table({&run, 1}, bytes);
    return bytes;
  }
  // A batch as an encoder makes it.
  Result<> send_batch(FrameHeader header, const PageBatch& batch, PageHistory& history, bool sums = false) {
    BatchEncoder encoder(&history);
    EncodedBatch encoded;
    encoder.encode(batch, 0, {Encoding::History::kept, 1, sums}, encoded);
    header.pages = batch.page_count();
    header.pack_length = encoded.pack_size;
    header.plain_length = encoded.plain_size;
    if (sums) header.flags |= kSums;
    std::vector<uint8_t> body;
    for (std::span<const uint8_t> part : encoded.body) body.insert(body.end(), part.begin(), part.end());
    return lane().send(header, encoded.table, body);
  }
  static std::vector<uint8_t> zstd(std::span<const uint8_t> bytes) {
    std::vector<uint8_t> pack(ZSTD_compressBound(bytes.size()));
    pack.resize(ZSTD_compress(pack.data(), pack.size(), bytes.data(), bytes.size(), 1));
    return pack;
  }
  static FrameHeader batch_header(uint64_t sequence, uint32_t pages) {
    return {.type = FrameType::batch, .sequence = sequence, .pages = pages};
  }

  test::Watchdog watchdog_;
  test::ModelSite site_;
  std::unique_ptr<Listener> listener_;
  std::thread accepting_;
  Failure failure_;
  std::unique_ptr<DestinationSession> session_;
  std::optional<RawSource> source_;
};

// The last word

TEST_F(DestinationTest, ASourceThatComesBackGetsTheLastWord) {
  site_.guest = LandingSite::Guest::may_be_here;
  establish(1);
  ASSERT_TRUE(session_->send_back(0, bytes_of("pong ")));
  source_->control.shut();
  EXPECT_ERROR(session_->finish(), "went away");
  RawConnection stranger(where());
  ASSERT_TRUE(stranger.send(FrameType::last_word, {{"token", "guessed"}, {"route", ""}, {"heard", 0u}}));
  EXPECT_EQ(stranger.refusal(), "the token is not that of a session here");
  RawConnection back(where());
  ASSERT_TRUE(back.send(FrameType::last_word, {{"token", source_->token}, {"route", ""}, {"heard", 5u}}));
  ASSERT_TRUE(back.receive(FrameType::welcome));
  ASSERT_TRUE(session_->send_back(0, bytes_of("shut")));
  ASSERT_TRUE(session_->close_back(0, true));
  auto word = back.receive(FrameType::reverse);
  ASSERT_TRUE(word);
  EXPECT_EQ(word->text(), "shut");
  auto closed = back.receive(FrameType::reverse_close);
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->head.header.aux, kBothWays);
  auto done = back.receive(FrameType::done);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->map(), (json{{"side", "destination"}}));
  ASSERT_TRUE(back.send(FrameType::done, json::object()));
  EXPECT_TRUE(session_->keep_word());
}

// Its connections may be dead for it alone.
TEST_F(DestinationTest, ASourceThatComesBackEndsTheSession) {
  site_.guest = LandingSite::Guest::may_be_here;
  establish(1);
  RawConnection back(where());
  ASSERT_TRUE(back.send(FrameType::last_word, {{"token", source_->token}, {"route", ""}, {"heard", 0u}}));
  EXPECT_ERROR(session_->finish(), "the source has lost its connections");
  ASSERT_TRUE(session_->close_back(0, true));
  ASSERT_TRUE(back.receive(FrameType::done));
}

// A source that holds on to that, for it has sent the bytes, learns of it at once.
TEST_F(DestinationTest, ASourceThatMayHoldIsAwaitedAlsoWhereTheVmmNeverHadTheGuest) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::may_be_there}));
  source_->control.shut();
  EXPECT_ERROR(session_->finish(), "went away");
  RawConnection back(where());
  ASSERT_TRUE(back.send(FrameType::last_word, {{"token", source_->token}, {"route", ""}, {"heard", 0u}}));
  EXPECT_TRUE(back.receive(FrameType::reverse_close));
  ASSERT_TRUE(back.receive(FrameType::done));
  ASSERT_TRUE(back.send(FrameType::done, json::object()));
  EXPECT_TRUE(session_->keep_word());
}

TEST_F(DestinationTest, ASourceThatWasToldIsNotAwaited) {
  establish(1);
  failure_.fail({"no room"});
  EXPECT_ERROR(session_->finish(), "no room");
  EXPECT_FALSE(session_->keep_word());
}

TEST_F(DestinationTest, WhereBothVmmsWaitToBeJoinedNobodyIsAwaitedForLong) {
  site_.guest = LandingSite::Guest::may_be_here;
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::may_be_there}));
  failure_.fail({"no room"});
  EXPECT_ERROR(session_->finish(), "no room");
  site_.guest = LandingSite::Guest::in_part;  // by the time that the VMM has left
  ASSERT_TRUE(session_->close_back(0, true));
  EXPECT_FALSE(session_->keep_word());
}

TEST_F(DestinationTest, WhereTheVmmNeverHadTheGuestTheSourceIsToldSo) {
  establish(1);
  failure_.fail({"no room"});
  auto failed = source_->control.receive(FrameType::failed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->head.header.aux, kNeverThere);
}

TEST_F(DestinationTest, WhereTheVmmMayHaveItTheSourceIsNotToldThat) {
  site_.guest = LandingSite::Guest::may_be_here;
  establish(1);
  failure_.fail({"no room"});
  auto failed = source_->control.receive(FrameType::failed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->head.header.aux, 0u);
}

// Handshake

TEST_F(DestinationTest, AFailedAcceptLeavesNothingBehind) {
  listener_->stop();
  accepting_.join();
  EXPECT_FALSE(session_);
  failure_.fail({"later"});  // nothing of the session must be called any more
}

TEST_F(DestinationTest, GarbageIsRefusedAndTheWaitingGoesOn) {
  RawConnection garbage(where());
  ASSERT_TRUE(garbage.send_bytes(
      bytes_of("GET / HTTP/1.1\r\nHost: example.org\r\nAccept: everything\r\n\r\n        ")));
  EXPECT_NE(garbage.refusal().find("not a Wherry frame"), std::string::npos);
  { RawConnection silent(where()); }
  RawConnection shorter(where());
  ASSERT_TRUE(shorter.send_bytes(bytes_of("hi")));
  shorter.end_sending();
  EXPECT_NE(shorter.refusal().find("ended in the middle"), std::string::npos);
  establish(1);
}

TEST_F(DestinationTest, APeerOfAnotherWireVersionIsRefusedByNumber) {
  RawConnection other(where());
  HeaderBytes hello = encode_header({.type = FrameType::hello}, {});
  hello[4] = 2;
  ASSERT_TRUE(other.send_bytes(hello));
  EXPECT_NE(other.refusal().find("speaks version 2 of the wire format, this Wherry speaks 1"),
            std::string::npos);
  establish(1);
}

TEST_F(DestinationTest, AHelloThatIsNoMapIsRefused) {
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::hello, json::array({1, 2})));
  EXPECT_NE(other.refusal().find("not a CBOR map"), std::string::npos);
  RawConnection empty(where());
  ASSERT_TRUE(empty.send({.type = FrameType::hello}));
  EXPECT_NE(empty.refusal().find("not valid CBOR"), std::string::npos);
  establish(1);
}

TEST_F(DestinationTest, AHelloOutOfBoundsIsRefused) {
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
    json hello = test::sound_hello(1);
    hello[key] = value;
    RawConnection other(where());
    ASSERT_TRUE(other.send(FrameType::hello, hello));
    EXPECT_EQ(other.refusal(), "the hello lacks a sound number of lanes or seconds of silence")
        << key << value;
  }
  establish(1);
}

TEST_F(DestinationTest, AnUnknownRequiredCapabilityIsRefusedByName) {
  json hello = test::sound_hello(1);
  hello["requires"] = {"teleport"};
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::hello, hello));
  EXPECT_NE(other.refusal().find("lacks the required capability \"teleport\""), std::string::npos);
  establish(1);
}

// A capability may be anything, text that is no UTF-8 included.
TEST_F(DestinationTest, ACapabilityThatCannotBePrintedIsRefusedAllTheSame) {
  json hello = test::sound_hello(1);
  hello["requires"] = json::array({json::array({"\xff\xfe"})});
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::hello, hello));
  EXPECT_NE(other.refusal().find("lacks the required capability"), std::string::npos);
  establish(1);
}

TEST_F(DestinationTest, UnknownKeysOfAHelloAreIgnored) {
  json hello = test::sound_hello(1);
  hello["of_the_future"] = {1, 2, 3};
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::hello, hello));
  auto welcome = other.receive();
  ASSERT_TRUE(welcome);
  EXPECT_EQ(welcome->type(), FrameType::welcome);
}

TEST_F(DestinationTest, AnotherFirstFrameIsRefused) {
  for (FrameType type : {FrameType::record, FrameType::ack, FrameType::done, FrameType::welcome}) {
    RawConnection other(where());
    ASSERT_TRUE(other.send({.type = type}));
    EXPECT_EQ(other.refusal(), "a session begins with a hello");
  }
  establish(1);
}

TEST_F(DestinationTest, ALaneBeforeAnySessionIsRefused) {
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::lane_hello, {{"token", ""}, {"lane", 0u}}));
  EXPECT_EQ(other.refusal(), "the lane token is not that of a session here");
  establish(1);
}

TEST_F(DestinationTest, ALaneWithAnotherTokenOrNumberIsRefusedAndTheSessionUnharmed) {
  RawConnection control(where());
  ASSERT_TRUE(control.send(FrameType::hello, test::sound_hello(2)));
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
  const std::string not_token = "the lane token is not that of a session here";
  EXPECT_EQ(refused({{"token", wrong}, {"lane", 0u}}), not_token);
  EXPECT_EQ(refused({{"token", token.substr(0, 31)}, {"lane", 0u}}), not_token);
  EXPECT_EQ(refused({{"token", 7u}, {"lane", 0u}}), not_token);
  EXPECT_EQ(refused({{"lane", 0u}}), not_token);
  const std::string no_lane = "the session has no such lane, or has it already";
  EXPECT_EQ(refused({{"token", token}, {"lane", 2u}}), no_lane);
  EXPECT_EQ(refused({{"token", token}}), no_lane);
  RawConnection first(where());
  ASSERT_TRUE(first.send(FrameType::lane_hello, {{"token", token}, {"lane", 0u}}));
  ASSERT_EQ(first.receive()->type(), FrameType::welcome);
  EXPECT_EQ(refused({{"token", token}, {"lane", 0u}}), no_lane);
  RawConnection second(where());
  ASSERT_TRUE(second.send(FrameType::lane_hello, {{"token", token}, {"lane", 1u}}));
  ASSERT_EQ(second.receive()->type(), FrameType::welcome);
  accepting_.join();
  EXPECT_TRUE(session_);
}

TEST_F(DestinationTest, ASecondSourceIsRefusedAsBusy) {
  const std::string busy = "this receiver is busy with another migration";
  {
    RawConnection first(where());
    ASSERT_TRUE(first.send(FrameType::hello, test::sound_hello(1)));
    auto welcome = first.receive();
    ASSERT_TRUE(welcome);
    RawConnection second(where());
    ASSERT_TRUE(second.send(FrameType::hello, test::sound_hello(1)));
    EXPECT_EQ(second.refusal(), busy) << "while the lanes are missing";
    RawConnection lane(where());
    ASSERT_TRUE(lane.send(FrameType::lane_hello, {{"token", welcome->map()["token"]}, {"lane", 0u}}));
    ASSERT_EQ(lane.receive()->type(), FrameType::welcome);
    accepting_.join();
    session_->start();
    RawConnection third(where());
    ASSERT_TRUE(third.send(FrameType::hello, test::sound_hello(1)));
    EXPECT_EQ(third.refusal(), busy) << "while the session runs";
  }
  EXPECT_FALSE(session_->finish());
}

// It never says the whole of its hello.
TEST_F(DestinationTest, ASlowCallerHoldsNobodyUp) {
  RawConnection slow(where());
  const HeaderBytes head = encode_header({.type = FrameType::hello, .body_length = kMaxBody}, {});
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

TEST_F(DestinationTest, ALaneThatIsSlowToOpenHoldsNoOtherUp) {
  RawConnection control(where());
  ASSERT_TRUE(control.send(FrameType::hello, test::sound_hello(2)));
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
  EXPECT_EQ(again.refusal(), "the session has no such lane, or has it already");
  RawConnection other(where());
  ASSERT_TRUE(other.send(FrameType::lane_hello, {{"token", token}, {"lane", 1u}}));
  ASSERT_EQ(other.receive()->type(), FrameType::welcome);
  // The first is still being opened.
  ASSERT_TRUE(slow.send(FrameType::lane_path, {{"fabric", false}, {"why", "slow"}}));
  auto answer = slow.receive();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->map().value("why", ""), "at the source, slow");
  accepting_.join();
  ASSERT_TRUE(session_);
  EXPECT_EQ(session_->totals().lanes.size(), 2u);
}

// It comes back with its lanes while one of those that it had is still being opened.
TEST_F(DestinationTest, ALaneOfASourceThatDiedIsNotTheNextOnes) {
  RawConnection old(where());
  {
    RawConnection control(where());
    ASSERT_TRUE(control.send(FrameType::hello, test::sound_hello(1)));
    auto welcome = control.receive();
    ASSERT_TRUE(welcome);
    ASSERT_TRUE(old.send(FrameType::lane_hello,
                         {{"token", welcome->map()["token"]}, {"lane", 0u}, {"fabric", "tcp"}}));
    ASSERT_TRUE(old.receive());
  }
  RawConnection control(where());
  ASSERT_TRUE(control.send(FrameType::hello, test::sound_hello(1)));
  auto welcome = control.receive();
  ASSERT_TRUE(welcome);
  ASSERT_EQ(welcome->type(), FrameType::welcome);
  ASSERT_TRUE(old.send(FrameType::lane_path, {{"fabric", false}, {"why", "slow"}}));
  ASSERT_TRUE(old.receive());
  EXPECT_FALSE(old.receive()) << "it is hung up on";
  RawConnection lane(where());
  ASSERT_TRUE(lane.send(FrameType::lane_hello, {{"token", welcome->map()["token"]}, {"lane", 0u}}));
  EXPECT_EQ(lane.receive()->type(), FrameType::welcome);
  accepting_.join();
  EXPECT_TRUE(session_);
}

TEST_F(DestinationTest, StrangersCannotCauseAnyNumberOfThreads) {
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
TEST_F(DestinationTest, ASourceThatDiesBeforeItsLanesMakesRoomForAnother) {
  {
    RawConnection first(where());
    ASSERT_TRUE(first.send(FrameType::hello, test::sound_hello(2)));
    ASSERT_TRUE(first.receive());
  }
  establish(1);
}

TEST_F(DestinationTest, ASourceThatGivesUpForWantOfAFabricMakesRoomForAnother) {
  {
    RawConnection control(where());
    ASSERT_TRUE(control.send(FrameType::hello, test::sound_hello(1)));
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

// Running

TEST_F(DestinationTest, FramesOnALaneLandInOrderHoweverTheyCome) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 2}, bytes_of("b")));
  ASSERT_TRUE(lane().send({.type = FrameType::close, .sequence = 3}));
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 1}, bytes_of("a")));
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(site_.wait_log(0, 3));
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "c"}));
  for (uint64_t sequence = 0; sequence < 4; ++sequence) {
    auto ack = source_->control.receive();
    ASSERT_TRUE(ack);
    EXPECT_EQ(ack->type(), FrameType::ack);
    EXPECT_EQ(ack->head.header.sequence, sequence);
  }
  ASSERT_TRUE(source_->control.send(FrameType::done, {{"side", "source"}}));
  auto done = source_->control.receive();
  ASSERT_TRUE(done);
  EXPECT_EQ(done->type(), FrameType::done);
  EXPECT_EQ(done->map(), (json{{"side", "destination"}}));
  auto account = session_->finish();
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(*account, (json{{"side", "source"}}));
}

TEST_F(DestinationTest, PagesArePlacedAndAcknowledged) {
  begin();
  const auto content = test::noise(2 * kModelPage, 3);
  ASSERT_TRUE(lane().send(batch_header(2, 2), table(0, PageKind::raw, 2, 5), content));
  ASSERT_TRUE(lane().send(batch_header(3, 3), table(0, PageKind::zero, 3, 0), {}));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(source_->control.receive(FrameType::ack));
  EXPECT_EQ(site_.page(0, 5), std::vector<uint8_t>(content.begin(), content.begin() + kModelPage));
  EXPECT_EQ(site_.page(0, 6), std::vector<uint8_t>(content.begin() + kModelPage, content.end()));
  EXPECT_EQ(site_.page(0, 2), std::vector<uint8_t>(kModelPage, 0));
  EXPECT_EQ(session_->totals().landing.placed_pages, 5u);
}

TEST_F(DestinationTest, SaysOfWhichBlocksItCanReadWhatItWasSent) {
  site_.relayed = {1};
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1},
                                    json::to_cbor(test::model_blocks({8, 8, 8}).to_json())));
  auto bases = source_->control.receive();
  ASSERT_TRUE(bases) << bases.error().message;
  EXPECT_EQ(bases->type(), FrameType::bases);
  EXPECT_EQ(bases->map(), (json{{"blocks", {0u, 2u}}, {"copies", 0u}}));
}

TEST_F(DestinationTest, SaysHowManyCopiesItKeepsWhereAllIsRelayed) {
  site_.direct = false;
  begin();
  auto bases = source_->control.receive(FrameType::bases);
  ASSERT_TRUE(bases) << bases.error().message;
  const uint64_t most = default_history(test::model_blocks({8}).space());
  EXPECT_EQ(bases->map(),
            (json{{"blocks", json::array()}, {"copies", most / (kModelPage + KeptCopies::kOverhead)}}));
}

TEST_F(DestinationTest, ARecordIsUnpacked) {
  establish(1);
  const std::string text(5000, 'x');
  const auto pack = zstd(bytes_of(text));
  const auto length = static_cast<uint32_t>(pack.size());
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(lane().send(
      {.type = FrameType::record, .sequence = 1, .pack_length = length, .plain_length = 5000}, pack));
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 2, .pack_length = 5, .plain_length = 5},
                          bytes_of("plain")));
  ASSERT_TRUE(site_.wait_log(0, 2));
  EXPECT_EQ(site_.log(0), (Log{"r" + text, "rplain"}));
}

TEST_F(DestinationTest, ARecordThatDoesNotUnpackIsRefused) {
  begin();
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 2, .pack_length = 4, .plain_length = 5},
                          bytes_of("hm?!")));
  expect_failure("a pack does not unpack");
}

TEST_F(DestinationTest, ARecordThatUnpacksToAnotherLengthIsRefused) {
  begin();
  const auto pack = zstd(std::vector<uint8_t>(100));
  const auto length = static_cast<uint32_t>(pack.size());
  ASSERT_TRUE(lane().send(
      {.type = FrameType::record, .sequence = 2, .pack_length = length, .plain_length = 101}, pack));
  expect_failure("unpacks to 100 bytes instead of 101");
}

TEST_F(DestinationTest, ARecordWithMoreThanItsPackIsRefused) {
  begin();
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 2, .pack_length = 3, .plain_length = 3},
                          bytes_of("more")));
  expect_failure("more than its pack");
}

TEST_F(DestinationTest, APackOnTheControlConnectionIsRefused) {
  establish(1);
  ASSERT_TRUE(source_->control.send(
      {.type = FrameType::record, .channel = 1, .pack_length = 4, .plain_length = 4}, bytes_of("pack")));
  expect_failure("packed frame on the control connection");
}

TEST_F(DestinationTest, PacksRawPagesAndChangesArePlaced) {
  begin();
  PageHistory history;
  history.set_space({kModelPage, {8}});
  history.refer_to({0});
  std::vector<uint8_t> text = bytes_of(std::string(kModelPage, 't'));
  const std::vector<uint8_t> noise = test::noise(kModelPage, 3);
  for (uint64_t round = 0; round < 6; ++round) {
    const bool sums = round % 2;
    text[100] = static_cast<uint8_t>(round);
    PageBatch batch;
    batch.page_size = kModelPage;
    batch.add(0, 1, text.data());
    batch.add(0, 2, noise.data());
    batch.add(0, 3, nullptr);
    batch.add(0, round % 2 ? 4 : 5, noise.data());
    const auto epoch = static_cast<uint32_t>(round);
    ASSERT_TRUE(send_batch({.type = FrameType::batch, .epoch = epoch, .sequence = 2 + 2 * round}, batch,
                           history, sums));
    ASSERT_TRUE(lane().send({.type = FrameType::record,
                             .flags = kEpochEnd,
                             .epoch = epoch,
                             .sequence = 3 + 2 * round,
                             .aux = 1}));
    for (int i = 0; i < (round == 0 ? 4 : 2); ++i) {
      auto ack = source_->control.receive(FrameType::ack);
      ASSERT_TRUE(ack) << ack.error().message;
    }
    EXPECT_EQ(site_.page(0, 1), text) << round;
    EXPECT_EQ(site_.page(0, 2), noise) << round;
    EXPECT_EQ(site_.page(0, 3), std::vector<uint8_t>(kModelPage, 0)) << round;
    EXPECT_EQ(site_.page(0, 4 + (round + 1) % 2), noise) << round;
  }
  EXPECT_EQ(session_->totals().asked_again, 0u);
  EXPECT_EQ(session_->totals().landing.placed_pages, 24u);
}

// A page of which line 0 is sent while the destination holds something else than the source believes.
class OtherBase : public DestinationTest {
 protected:
  OtherBase() : page_(test::noise(kModelPage, 5)), pack_(lines_size(1, kModelPage)) {
    put_lines(page_.data(), kModelPage, 1, pack_.data());
    header_ = batch_header(2, 1);
    header_.pack_length = header_.plain_length = static_cast<uint32_t>(pack_.size());
  }
  Result<> send_lines() { return lane().send(header_, table(0, PageKind::lines, 1, 4), pack_); }
  Result<> send_whole() { return lane().send(batch_header(2, 1), table(0, PageKind::raw, 1, 4), page_); }
  // The next of the two that comes.
  FrameType ack_or_again() {
    for (;;) {
      auto frame = source_->control.receive();
      if (!frame) return FrameType::failed;
      const FrameHeader& header = frame->head.header;
      if (header.sequence == 2 && header.channel == 0) return frame->type();
    }
  }
  std::vector<uint8_t> page_;
  std::vector<uint8_t> pack_;
  FrameHeader header_;
};

TEST_F(OtherBase, IsAskedForAgainWhereItLandsAtOnce) {
  begin();
  ASSERT_TRUE(send_lines());
  EXPECT_EQ(ack_or_again(), FrameType::again);
  EXPECT_EQ(site_.page(0, 4), std::vector<uint8_t>(kModelPage, 0xee));
  EXPECT_EQ(session_->totals().landing.placed_pages, 0u);
  ASSERT_TRUE(send_whole());
  EXPECT_EQ(ack_or_again(), FrameType::ack);
  EXPECT_EQ(site_.page(0, 4), page_);
  EXPECT_EQ(session_->totals().asked_again, 1u);
  EXPECT_EQ(session_->totals().landing.placed_pages, 1u);
}

TEST_F(OtherBase, IsAskedForAgainWhereItHadToWait) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1},
                                    json::to_cbor(test::model_blocks({8}).to_json())));
  ASSERT_TRUE(send_lines());
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 3}, bytes_of("behind")));
  ASSERT_TRUE(lane().send({.type = FrameType::open, .channel = 1, .aux = 1}));
  for (uint16_t channel = 0; channel != 1;) {  // they have all arrived then
    auto ack = source_->control.receive(FrameType::ack);
    ASSERT_TRUE(ack) << ack.error().message;
    channel = ack->head.header.channel;
  }
  session_->ready();
  EXPECT_EQ(ack_or_again(), FrameType::again);
  ASSERT_TRUE(send_whole());
  EXPECT_EQ(ack_or_again(), FrameType::ack);
  ASSERT_TRUE(site_.wait_log(0, 1));
  EXPECT_EQ(site_.page(0, 4), page_);
  EXPECT_EQ(session_->totals().asked_again, 1u);
}

TEST_F(OtherBase, IsAnErrorWhereNothingIsPlaced) {
  site_.direct = false;
  begin();
  ASSERT_TRUE(send_lines());
  expect_failure("refers to pages that are not held here");
}

TEST_F(OtherBase, IsRefusedIfItsLinesAreCutOff) {
  begin();
  pack_[1] = 0xff;
  ASSERT_TRUE(send_lines());
  expect_failure("cut short");
}

TEST_F(DestinationTest, APageThatIsNotWhatItsSumSaysIsRefused) {
  begin();
  std::vector<uint8_t> body(8, 1);
  body.resize(8 + kModelPage);
  FrameHeader header = batch_header(2, 1);
  header.flags = kSums;
  header.pack_length = header.plain_length = 8;
  ASSERT_TRUE(lane().send(header, table(0, PageKind::raw, 1, 4), body));
  expect_failure("page 4 of RAM block number 0 is not what the source sent");
}

TEST_F(DestinationTest, ABatchWhosePackDoesNotUnpackIsRefused) {
  begin();
  FrameHeader header = batch_header(2, 1);
  header.pack_length = 100;
  header.plain_length = kModelPage;
  ASSERT_TRUE(lane().send(header, table(0, PageKind::packed, 1, 0), test::noise(100, 1)));
  expect_failure("a pack does not unpack");
}

TEST_F(DestinationTest, ABatchThatUnpacksToTooMuchIsRefused) {
  begin();
  FrameHeader header = batch_header(2, 1);
  const auto pack = zstd(std::vector<uint8_t>(kMostPlain + 1));
  header.pack_length = static_cast<uint32_t>(pack.size());
  header.plain_length = kMostPlain + 1;
  (void)lane().send(header, table(0, PageKind::packed, 1, 0), pack);
  expect_failure(fmt::format("a batch of {} bytes", kMostPlain + 1));
}

class NoPack : public DestinationTest, public testing::WithParamInterface<PageKind> {};

TEST_P(NoPack, PagesOfAPackThatIsNotThereAreRefused) {
  begin();
  ASSERT_TRUE(lane().send(batch_header(2, 1), table(0, GetParam(), 1, 0), std::vector<uint8_t>(kModelPage)));
  expect_failure(GetParam() == PageKind::lines ? "cut short" : "shorter than its table says");
}

INSTANTIATE_TEST_SUITE_P(Kinds, NoPack,
                         testing::Values(PageKind::packed, PageKind::lines, PageKind::patch, PageKind::keep,
                                         PageKind::kept));

TEST_F(DestinationTest, APeerThatGoesAwayIsNoticed) {
  establish(2);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  source_->control.shut();
  for (RawConnection& one : source_->lanes) one.shut();
  auto end = session_->finish();
  ASSERT_FALSE(end);
  EXPECT_NE(end.error().message.find("killed?"), std::string::npos) << end.error().message;
}

TEST_F(DestinationTest, ALaneThatDiesWhileIdleIsLost) {
  establish(2);
  lane(1).shut();
  expect_lane_ended(1);
  EXPECT_NE(site_.wait_lost(1).find("closed the lane"), std::string::npos);
  ASSERT_TRUE(lane(0).send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.receive(FrameType::ack));
  EXPECT_FALSE(failure_.failed());
}

TEST_F(DestinationTest, ALaneThatTheSourceLostEndsHere) {
  establish(2);
  ASSERT_TRUE(source_->control.send({.type = FrameType::lane_lost, .aux = 1}));
  expect_lane_ended(1);
  EXPECT_FALSE(lane(1).receive()) << "it is shut";
  EXPECT_FALSE(failure_.failed());
}

TEST_F(DestinationTest, ALaneThatIsNoneCannotBeLost) {
  establish(2);
  ASSERT_TRUE(source_->control.send({.type = FrameType::lane_lost, .aux = 2}));
  expect_failure("lost lane 2, which is none");
}

TEST_F(DestinationTest, TheLastLaneThatDiesEndsTheSession) {
  establish(2);
  lane(1).shut();
  expect_lane_ended(1);
  lane(0).shut();
  expect_failure("the last lane was lost: ");
}

TEST_F(DestinationTest, AFrameThatCameOverALostLaneIsDroppedWhenItComesAgain) {
  establish(2);
  ASSERT_TRUE(lane(1).send({.type = FrameType::record, .sequence = 2}, bytes_of("b")));
  ASSERT_TRUE(lane(1).send({.type = FrameType::open}));
  EXPECT_EQ(source_->control.receive(FrameType::ack)->head.header.sequence, 0u);
  lane(1).shut();
  expect_lane_ended(1);
  ASSERT_TRUE(lane(0).send({.type = FrameType::open}));                                  // landed
  ASSERT_TRUE(lane(0).send({.type = FrameType::record, .sequence = 2}, bytes_of("b")));  // waits
  ASSERT_TRUE(lane(0).send({.type = FrameType::record, .sequence = 1}, bytes_of("a")));
  ASSERT_TRUE(lane(0).send({.type = FrameType::close, .sequence = 3}));
  for (uint64_t sequence = 1; sequence < 4; ++sequence) {
    auto ack = source_->control.receive();
    ASSERT_TRUE(ack) << ack.error().message;
    EXPECT_EQ(ack->type(), FrameType::ack);
    EXPECT_EQ(ack->head.header.sequence, sequence);
  }
  ASSERT_TRUE(lane(0).send({.type = FrameType::record, .sequence = 1}, bytes_of("a")));  // closed
  ASSERT_TRUE(source_->control.send(FrameType::done, json::object()));
  EXPECT_EQ(source_->control.receive()->type(), FrameType::done) << "nothing is acknowledged twice";
  EXPECT_TRUE(session_->finish());
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "c"}));
}

// The same page once more in a batch, half of which comes over a lane that dies.
class HalfABatch : public DestinationTest {
 protected:
  HalfABatch() : old_(test::noise(4 * kModelPage, 3)), now_(test::noise(4 * kModelPage, 4)) {}
  void send_half() {
    begin(2);
    FrameHeader header = batch_header(2, 4);
    const auto pages = table(0, PageKind::raw, 4, 2);
    header.table_length = static_cast<uint32_t>(pages.size());
    header.body_length = static_cast<uint32_t>(old_.size());
    Checksum sum;
    sum.add(old_);
    header.body_sum = sum.value();
    ASSERT_TRUE(source_->control.receive(FrameType::bases));
    ASSERT_TRUE(lane(1).send_bytes(encode_header(header, pages)));
    ASSERT_TRUE(lane(1).send_bytes(pages));
    ASSERT_TRUE(lane(1).send_bytes(std::span(old_).first(kHalf)));
  }
  // Over the other lane, and nothing else was acknowledged of it.
  void send_again() {
    ASSERT_TRUE(
        lane(0).send(batch_header(2, 4), table(0, PageKind::raw, 4, 2), std::span<const uint8_t>(now_)));
    await_ack(2);
    expect_now();
    EXPECT_EQ(session_->totals().landing.placed_pages, 4u);
  }
  void await_ack(uint64_t sequence) {
    for (;;) {
      auto ack = source_->control.receive(FrameType::ack);
      ASSERT_TRUE(ack) << ack.error().message;
      if (ack->head.header.sequence == sequence) return;
    }
  }
  void expect_now() {
    for (uint64_t page = 0; page < 4; ++page) {
      const auto at = now_.begin() + static_cast<ptrdiff_t>(page * kModelPage);
      EXPECT_EQ(site_.page(0, 2 + page), (std::vector<uint8_t>{at, at + kModelPage})) << page;
    }
  }

  static constexpr size_t kHalf = 2 * kModelPage + 100;
  const std::vector<uint8_t> old_;
  const std::vector<uint8_t> now_;
};

TEST_F(HalfABatch, IsTakenOverTheNextLane) {
  send_half();
  lane(1).shut();
  expect_lane_ended(1);
  send_again();
}

TEST_F(HalfABatch, IsTakenOverTheNextLaneWhereItIsNotPlacedAsItComes) {
  site_.by_iovec = false;
  send_half();
  lane(1).shut();
  expect_lane_ended(1);
  send_again();
}

// The source's side of the connection is dead, but its bytes still come.
TEST_F(HalfABatch, IsNotPlacedLate) {
  send_half();
  ASSERT_TRUE(source_->control.send({.type = FrameType::lane_lost, .aux = 1}));
  expect_lane_ended(1);
  send_again();
  (void)lane(1).send_bytes(std::span(old_).subspan(kHalf));
  ASSERT_TRUE(lane(0).send({.type = FrameType::record, .sequence = 3}));
  await_ack(3);
  expect_now();
}

TEST_F(HalfABatch, IsDroppedIfTheWholeOfItWasPlaced) {
  send_half();
  ASSERT_TRUE(lane(1).send_bytes(std::span(old_).subspan(kHalf)));
  await_ack(2);
  ASSERT_TRUE(lane(0).send(batch_header(3, 4), table(0, PageKind::raw, 4, 2), now_));
  await_ack(3);
  lane(1).shut();
  expect_lane_ended(1);
  ASSERT_TRUE(lane(0).send(batch_header(2, 4), table(0, PageKind::raw, 4, 2), old_));
  ASSERT_TRUE(lane(0).send({.type = FrameType::close, .sequence = 4}));
  std::vector<uint64_t> acknowledged;  // behind those that were awaited: 0 and 1 may be among them
  while (acknowledged.empty() || acknowledged.back() != 4) {
    auto ack = source_->control.receive(FrameType::ack);
    ASSERT_TRUE(ack) << ack.error().message;
    acknowledged.push_back(ack->head.header.sequence);
  }
  EXPECT_EQ(std::count(acknowledged.begin(), acknowledged.end(), 2), 0) << "once each";
  EXPECT_EQ(std::count(acknowledged.begin(), acknowledged.end(), 3), 0) << "once each";
  expect_now();
}

TEST_F(DestinationTest, DamageOnOneOfSeveralLanesIsNoLostLane) {
  establish(2);
  HeaderBytes header = encode_header({.type = FrameType::record, .sequence = 2}, {});
  header[16] ^= 1;
  ASSERT_TRUE(lane(1).send_bytes(header));
  expect_failure("a frame header was damaged");
}

TEST_F(DestinationTest, ALieOnOneOfSeveralLanesIsNoLostLane) {
  begin(2);
  ASSERT_TRUE(lane(1).send(batch_header(2, 1), table(0, PageKind::zero, 1, 8), {}));
  expect_failure("outside guest memory");
}

TEST_F(DestinationTest, ALaneThatDiesBehindDoneIsNothing) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(lane().send({.type = FrameType::close, .sequence = 1}));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(source_->control.receive(FrameType::ack));
  ASSERT_TRUE(source_->control.send(FrameType::done, json::object()));
  lane().shut();
  ASSERT_TRUE(source_->control.receive(FrameType::done));
  auto ended = session_->finish();
  EXPECT_TRUE(ended) << ended.error().message;
  session_.reset();
  EXPECT_FALSE(failure_.failed());
}

TEST_F(DestinationTest, BlocksOnALaneAreRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::blocks, .sequence = 1},
                          json::to_cbor(test::model_blocks({8}).to_json())));
  expect_failure("the RAM blocks came on a lane");
}

TEST_F(DestinationTest, ASourceThatGivesUpSaysWhy) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::failed}, bytes_of("the guest\x1b[2J was lost")));
  EXPECT_ERROR(session_->finish(), "the source gave up: the guest [2J was lost");
}

TEST_F(DestinationTest, LeavingWithAnOpenChannelIsAnError) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.receive(FrameType::ack));
  ASSERT_TRUE(source_->control.send(FrameType::done, json::object()));
  expect_failure("channels still open");
}

TEST_F(DestinationTest, AnAccountThatIsNoMapIsAnError) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::done}, bytes_of("hm")));
  expect_failure("CBOR");
}

TEST_F(DestinationTest, AFrameOnTheControlConnectionThatDoesNotBelongThereIsRefused) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::batch}));
  expect_failure("a frame of type 3 on the control connection");
}

TEST_F(DestinationTest, AFrameOnALaneThatDoesNotBelongThereIsRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(lane().send({.type = FrameType::reverse, .sequence = 1}));
  expect_failure("channel 0 has a frame of type 25");
}

TEST_F(DestinationTest, AFrameThatEndsEarlyIsAnError) {
  begin();
  const auto header = encode_header({.type = FrameType::record, .sequence = 2, .body_length = 100}, {});
  ASSERT_TRUE(lane().send_bytes(header));
  ASSERT_TRUE(lane().send_bytes(std::vector<uint8_t>(99)));
  lane().end_sending();
  expect_failure("the connection ended");
}

TEST_F(DestinationTest, AHeaderThatEndsEarlyIsAnError) {
  begin();
  const HeaderBytes header = encode_header({.type = FrameType::record}, {});
  ASSERT_TRUE(lane().send_bytes(std::span(header).first(20)));
  lane().end_sending();
  expect_failure("the connection ended in the middle");
}

TEST_F(DestinationTest, ADamagedBodyIsAnError) {
  begin();
  ASSERT_TRUE(
      lane().send_bytes(encode_header({.type = FrameType::record, .sequence = 2, .body_length = 4}, {})));
  ASSERT_TRUE(lane().send_bytes(bytes_of("abcd")));
  expect_failure("damaged on its way (channel 0, frame 2, 4 bytes)");
}

TEST_F(DestinationTest, ADamagedHeadIsAnError) {
  begin();
  HeaderBytes header = encode_header({.type = FrameType::record, .sequence = 2}, {});
  header[16] ^= 1;
  ASSERT_TRUE(lane().send_bytes(header));
  expect_failure("a frame header was damaged");
}

TEST_F(DestinationTest, LengthsOutOfBoundsAreRefused) {
  begin();
  ASSERT_TRUE(lane().send_bytes(
      encode_header({.type = FrameType::record, .sequence = 2, .body_length = kMaxBody + 1}, {})));
  expect_failure("a body of 1048577 bytes");
}

TEST_F(DestinationTest, ABatchLongerThanASlotIsRefused) {
  begin();
  const std::vector<uint8_t> body(kSlotBytes + 1);
  site_.by_iovec = false;
  (void)lane().send(batch_header(2, 1), table(0, PageKind::raw, 1, 0), body);
  expect_failure("a batch of 589825 bytes");
}

TEST_F(DestinationTest, ABatchThatMiscountsIsRefused) {
  begin();
  ASSERT_TRUE(
      lane().send(batch_header(2, 2), table(0, PageKind::raw, 1, 0), std::vector<uint8_t>(kModelPage)));
  expect_failure("miscounts its pages");
}

TEST_F(DestinationTest, ABatchOfPagesOutsideIsRefused) {
  begin();
  ASSERT_TRUE(lane().send(batch_header(2, 1), table(0, PageKind::zero, 1, 8), {}));
  expect_failure("outside guest memory");
}

TEST_F(DestinationTest, ABatchWithoutATableIsRefused) {
  begin();
  ASSERT_TRUE(lane().send(batch_header(2, 0)));
  expect_failure("a page table of 0 bytes");
}

TEST_F(DestinationTest, ABatchOfAnotherLengthIsRefusedWhereItIsPlaced) {
  begin();
  ASSERT_TRUE(
      lane().send(batch_header(2, 1), table(0, PageKind::raw, 1, 0), std::vector<uint8_t>(kModelPage - 1)));
  expect_failure("not as long as its table says");
}

TEST_F(DestinationTest, ABatchOfAnotherLengthIsRefusedWhereItIsRelayed) {
  site_.direct = false;
  begin();
  ASSERT_TRUE(
      lane().send(batch_header(2, 1), table(0, PageKind::raw, 1, 0), std::vector<uint8_t>(kModelPage + 1)));
  expect_failure("longer or shorter than its table says");
}

TEST_F(DestinationTest, BlocksThatAreNoMapAreRefused) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1}, bytes_of("\x80")));
  expect_failure("not a CBOR map");
}

TEST_F(DestinationTest, ASecondListOfBlocksIsRefused) {
  begin();
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 2},
                                    json::to_cbor(test::model_blocks({9}).to_json())));
  expect_failure("twice");
}

TEST_F(DestinationTest, AFrameThatComesAgainWhileItWaitsIsRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 3}));
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 3}));
  expect_failure("came twice");
}

TEST_F(DestinationTest, AFrameThatComesAgainAfterItLandedIsRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.receive(FrameType::ack));
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  expect_failure("came twice");
}

TEST_F(DestinationTest, AChannelOutOfBoundsIsRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open, .channel = 65535}));
  expect_failure("a frame is of channel 65535");
}

TEST_F(DestinationTest, ABrokenSinkEndsTheSessionAtBothEnds) {
  establish(1);
  site_.break_sinks();
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 1}));
  expect_failure("the sink of channel 0 is broken");
}

// A batch takes no room for bytes that it does not carry: however little is in each, a source that keeps to
// its window is never told that it sends too much.
TEST_F(DestinationTest, ManySmallBatchesWaitForTheirEpoch) {
  constexpr uint64_t kBatches = 3000;
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1},
                                    json::to_cbor(test::model_blocks({8}).to_json())));
  ASSERT_TRUE(source_->control.receive(FrameType::bases));
  const auto content = test::noise(kModelPage, 3);
  for (uint64_t i = 0; i < kBatches; ++i) {
    const bool zero = i % 2;
    if (!lane().send(batch_header(2 + i, 1), table(0, zero ? PageKind::zero : PageKind::raw, 1, i % 8),
                     zero ? std::span<const uint8_t>() : std::span<const uint8_t>(content))) {
      break;
    }
  }
  // Another channel's opening, behind them on the lane: they are all there when it lands.
  (void)lane().send({.type = FrameType::open, .channel = 1, .aux = 1});
  for (uint16_t channel = 0; channel != 1;) {
    auto ack = source_->control.receive();
    ASSERT_TRUE(ack) << ack.error().message;
    ASSERT_EQ(ack->type(), FrameType::ack) << ack->text();
    channel = ack->head.header.channel;
  }
  session_->ready();
  ASSERT_TRUE(lane().send({.type = FrameType::close, .sequence = 2 + kBatches}));
  for (uint64_t i = 0; i < 1 + kBatches; ++i) {
    auto ack = source_->control.receive();
    ASSERT_TRUE(ack) << ack.error().message;
    ASSERT_EQ(ack->type(), FrameType::ack) << ack->text();
  }
}

TEST_F(DestinationTest, AbandonedItEndsAndTellsThePeer) {
  establish(2);
  session_.reset();
  auto told = source_->control.receive(FrameType::failed);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->text(), "the session was abandoned");
}

}  // namespace
}  // namespace wherry
