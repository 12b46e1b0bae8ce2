#include "transport/wire/last_word.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"
#include "transport/wire/control.h"

namespace wherry {
namespace {

using std::chrono::steady_clock;

// A destination's and a source's end of one connection.
class LastWordTest : public testing::Test {
 protected:
  LastWordTest() : watchdog_("the last word") { connect(); }
  ~LastWordTest() override {
    word_.stop();
    if (telling_.joinable()) telling_.join();
  }

  void connect() {
    auto [here, there] = test::socket_pair();
    source_.emplace(std::move(here), "the destination");
    destination_.emplace(std::move(there), "the source");
    source_->set_patience(test::kForever);
    destination_->set_patience(test::kForever);
  }
  // Reads the source's question, and answers it with tell().
  void tell() {
    telling_ = std::thread([this] {
      FrameHead head;
      ASSERT_TRUE(destination_->receive_head(head));
      auto body = destination_->receive_body();
      ASSERT_TRUE(body);
      question_ = *read_map(*body, "the source");
      told_ = word_.tell(*destination_, question_["heard"], [] {
        return nlohmann::json{{"outcome", "fine"}};
      });
      if (!told_) destination_->refuse(told_.error().message);
    });
  }
  Result<nlohmann::json> hear() {
    return hear_last_word(*source_, asked_, steady_clock::now() + test::kForever, cancel_);
  }

  test::Watchdog watchdog_;
  LastWord word_;
  std::optional<FrameSocket> source_;
  std::optional<FrameSocket> destination_;
  nlohmann::json question_;
  Result<> told_;
  std::string heard_;
  int closed_ = 0;
  Event cancel_;
  WordAsked asked_{.token = "abc",
                   .route = "hostb/1",
                   .heard = 0,
                   .bytes = [this](std::vector<uint8_t> bytes) { heard_ += test::text_of(bytes); },
                   .closed = [this] { ++closed_; }};
  std::thread telling_;
};

TEST_F(LastWordTest, ASourceGetsWhatItHasNotHeard) {
  word_.said(test::bytes_of("pong shut"));
  word_.closed();
  asked_.heard = 5;
  tell();
  auto account = hear();
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(*account, (nlohmann::json{{"outcome", "fine"}}));
  EXPECT_EQ(heard_, "shut");
  EXPECT_EQ(closed_, 1);
  EXPECT_EQ(asked_.heard, 9u);
  EXPECT_EQ(question_, (nlohmann::json{{"token", "abc"}, {"route", "hostb/1"}, {"heard", 5}}));
  EXPECT_TRUE(word_.wait_told(std::chrono::steady_clock::now() + test::kForever));
}

TEST_F(LastWordTest, WhatIsSaidLaterComesAsWell) {
  tell();
  std::thread saying([this] {
    word_.said(test::bytes_of("sh"));
    word_.said(test::bytes_of("ut"));
    word_.closed();
  });
  auto account = hear();
  saying.join();
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(heard_, "shut");
  EXPECT_TRUE(word_.asked());
}

TEST_F(LastWordTest, AnotherAttemptGoesOnWhereTheFirstWasCut) {
  word_.said(test::bytes_of("half "));
  tell();
  asked_.bytes = [this](std::vector<uint8_t> bytes) {
    heard_ += test::text_of(bytes);
    source_->shut();
  };
  EXPECT_FALSE(hear());
  word_.said(test::bytes_of("whole"));
  word_.closed();
  telling_.join();
  EXPECT_FALSE(told_);
  EXPECT_FALSE(word_.wait_told(std::chrono::steady_clock::now()));
  connect();
  asked_.bytes = [this](std::vector<uint8_t> bytes) { heard_ += test::text_of(bytes); };
  tell();
  ASSERT_TRUE(hear());
  EXPECT_EQ(heard_, "half whole");
  EXPECT_TRUE(word_.wait_told(std::chrono::steady_clock::now() + test::kForever));
}

TEST_F(LastWordTest, OnlyTheLastOfMuchIsKept) {
  const std::vector<uint8_t> much(3 * LastWord::kKept, 'x');
  word_.said(much);
  word_.said(test::bytes_of("shut"));
  word_.closed();
  asked_.heard = much.size();
  tell();
  ASSERT_TRUE(hear());
  EXPECT_EQ(heard_, "shut");
  telling_.join();
  connect();
  asked_.heard = 0;
  tell();
  EXPECT_ERROR(hear(), "byte 0 of");
}

TEST_F(LastWordTest, ASourceCannotHaveHeardMoreThanWasSaid) {
  word_.said(test::bytes_of("shut"));
  asked_.heard = 5;
  tell();
  EXPECT_ERROR(hear(), "byte 5 of 4");
}

TEST_F(LastWordTest, TheWaitingEnds) {
  tell();
  std::thread ending([this] {
    while (!word_.asked()) std::this_thread::yield();
    word_.stop();
  });
  EXPECT_ERROR(hear(), "nobody waits");
  ending.join();
  EXPECT_FALSE(word_.wait_told(std::chrono::steady_clock::now() + test::kForever))
      << "and does not wait that long";
}

TEST_F(LastWordTest, TheSourceNeedNotWaitEither) {
  tell();
  cancel_.raise();
  EXPECT_ERROR(hear(), "interrupted");
  source_->shut();
}

}  // namespace
}  // namespace wherry
