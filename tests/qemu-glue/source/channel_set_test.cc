// With a session to a receiver whose QEMU, and whose server of disks, never answer.
#include "qemu-glue/source/channel_set.h"

#include <gtest/gtest.h>

#include <future>

#include "qemu-glue/destination/receiver.h"
#include "qemu-glue/stream/formats.h"
#include "tests/qemu-glue/stream/support.h"
#include "tests/qemu-glue/wherry_pair.h"
#include "tests/transport/support.h"

namespace wherry::qemu {
namespace {

using Carries = ChannelReader::Carries;
using End = ChannelSet::End;

constexpr std::chrono::milliseconds kMoment{10};

class ChannelSetTest : public testing::Test {
 protected:
  ChannelSetTest() {
    EXPECT_TRUE(receiver_.open());
    receiving_ = std::async(std::launch::async, [this] { (void)receiver_.run(); });
    auto connected = SourceSession::connect(
        {.peers = {receiver_.listener().where()},
         .lanes = 1,
         .downtime = std::chrono::milliseconds(300),
         .silence = std::chrono::seconds(5),
         .bandwidth = 0,
         .compression = {},
         .fabric = {},
         .route = {},
         .wishes = nlohmann::json::object()},
        {.bytes = [](uint16_t, std::vector<uint8_t>) {}, .closed = [](uint16_t, bool) {}, .never_there = {}},
        failure_);
    EXPECT_TRUE(connected) << connected.error().message;
    session_ = std::move(*connected);
    guest_.note_dialled();
  }
  ~ChannelSetTest() override {
    failure_.fail({"the test is over"});
    receiver_failure_.fail({"the test is over"});
    guest_.give_up();
  }
  // QEMU's end of a connection that begins with these.
  Fd connection(const test::ByteVector& first, Carries carries = Carries::guest) {
    auto [here, there] = wherry::test::socket_pair();
    // To send nothing does nothing.
    EXPECT_EQ(::send(there.get(), first.data(), first.size(), 0), static_cast<ssize_t>(first.size()));
    EXPECT_TRUE(channels_.add(carries, std::move(here), *session_));
    return std::move(there);
  }
  std::optional<End> end() { return channels_.wait_end(wherry::test::kForever); }

  const wherry::test::Watchdog watchdog_{"a set of channels"};
  const wherry::test::TempDir directory_;
  const test::ByteVector data_ = test::Bytes().u32(kMultifdMagic);
  const test::ByteVector main_ = test::Bytes().u32(kFileMagic).u32(kFileVersion);
  Failure failure_;
  Failure receiver_failure_;
  const Result<Listener> disk_server_ = Listener::open(Endpoint{.path = directory_.at("disks"), .host = {}});
  Receiver receiver_{{.listen = test::pair_uri(0, test::Place::relay),
                      .qemu = {.path = directory_.at("to"), .host = {}},
                      .disks = Endpoint{.path = directory_.at("disks"), .host = {}},
                      .memory = test::open_scripted_ram},
                     receiver_failure_};
  std::future<void> receiving_;
  std::unique_ptr<SourceSession> session_;
  SourceGuest guest_{[] { return 0; }};
  ChannelSet channels_{guest_, failure_};
};

TEST_F(ChannelSetTest, GoesOnWhileAnyConnectionMayBeTheMainOne) {
  EXPECT_FALSE(channels_.wait_end(kMoment)) << "QEMU may come yet";
  const Fd silent = connection({});
  connection(data_).reset();
  EXPECT_FALSE(channels_.wait_end(kMoment));
}

TEST_F(ChannelSetTest, IsLeftEarlyByAQemuThatNeverOpenedItsMainChannel) {
  connection(data_).reset();
  EXPECT_EQ(end(), End::left_early);
}

TEST_F(ChannelSetTest, IsNotLeftByACopyOfADisk) {
  connection({'n', 'b', 'd'}, Carries::disk).reset();
  EXPECT_FALSE(channels_.wait_end(10 * kMoment));
  EXPECT_FALSE(channels_.main_closed());
}

TEST_F(ChannelSetTest, IsOverWhenAllHaveEndedAndTheMainOneWasThere) {
  Fd main = connection(main_);
  Fd data = connection(data_);
  main.reset();
  EXPECT_FALSE(channels_.wait_end(kMoment));
  data.reset();
  EXPECT_EQ(end(), End::over);
}

TEST_F(ChannelSetTest, WhatComesAfterTheEndIsClosed) {
  connection(main_).reset();
  EXPECT_EQ(end(), End::over);
  EXPECT_EQ(wherry::test::read_all(connection(data_).get()), "") << "QEMU waits for an answer on it";
}

TEST_F(ChannelSetTest, IsHeldWhenTheSessionFailsAndTheDestinationMayHaveTheGuest) {
  const Fd silent = connection({});  // whose reader waits for QEMU, and not for the session
  ASSERT_TRUE(guest_.ending().may_have_it());
  failure_.fail({"cut"});
  channels_.wake();
  EXPECT_EQ(end(), End::held);
}

TEST_F(ChannelSetTest, SettlesWhoTakesPartInEpochs) {
  const Fd main = connection(main_);
  const Fd silent = connection({});
  auto [here, there] = wherry::test::socket_pair();
  ASSERT_EQ(::send(there.get(), data_.data(), data_.size(), 0), static_cast<ssize_t>(data_.size()));
  std::vector<Fd> waiting;
  waiting.push_back(std::move(here));
  const auto next = [&waiting]() -> Result<Fd> {
    if (waiting.empty()) return Fd();
    Fd taken = std::move(waiting.back());
    waiting.pop_back();
    return taken;
  };
  const auto settled = channels_.settle(next, *session_);
  ASSERT_TRUE(settled) << settled.error().message;
  EXPECT_EQ(*settled, 2u);
}

TEST_F(ChannelSetTest, CountsPassesWhileAGuestMayBeThere) {
  EXPECT_EQ(channels_.passes(), std::nullopt);
  Fd disk = connection({'n', 'b', 'd'}, Carries::disk);
  EXPECT_EQ(channels_.passes(), 1u);
  disk.reset();
  while (channels_.passes()) std::this_thread::sleep_for(kMoment);
}

TEST_F(ChannelSetTest, ShutEndsAllConnections) {
  const Fd main = connection(main_);
  const Fd silent = connection({});
  channels_.shut();
  EXPECT_EQ(wherry::test::read_all(main.get()), "");
  EXPECT_EQ(wherry::test::read_all(silent.get()), "");
  EXPECT_EQ(wherry::test::read_all(connection(data_).get()), "") << "it comes later";
  EXPECT_EQ(end(), End::over);
}

}  // namespace
}  // namespace wherry::qemu
