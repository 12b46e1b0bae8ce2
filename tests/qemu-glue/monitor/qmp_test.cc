// The QMP client with a scripted server: what QEMU sends, and what it should never send.
#include "qemu-glue/monitor/qmp.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/monitor/fake_monitor.h"

namespace wherry {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

using test::FakeMonitor;
using test::kGreeting;
using test::kLong;
using test::Peer;

// What must run out.
constexpr milliseconds kShort{60};

std::unique_ptr<Qmp> connected(const FakeMonitor& monitor) {
  auto qmp = Qmp::connect(monitor.path(), kLong);
  EXPECT_TRUE(qmp) << qmp.error().message;
  return qmp ? std::move(*qmp) : nullptr;
}

TEST(Qmp, GreetingEnablesOobWhereOffered) {
  json negotiation, oob;
  FakeMonitor monitor([&](Peer& peer) {
    negotiation = peer.negotiate();
    oob = peer.hear();
    peer.answer(oob, json::object());
  });
  {
    auto qmp = connected(monitor);
    ASSERT_TRUE(qmp);
    EXPECT_TRUE(qmp->has_oob());
    EXPECT_EQ(qmp->peer_pid(), ::getpid());
    EXPECT_TRUE(qmp->execute_oob("yank", {{"instances", json::array()}}, kLong));
  }
  monitor.join();
  EXPECT_EQ(negotiation["execute"], "qmp_capabilities");
  EXPECT_EQ(negotiation["arguments"]["enable"], json::array({"oob"}));
  EXPECT_EQ(oob["exec-oob"], "yank");
}

TEST(Qmp, WithoutOobNoneIsAsked) {
  FakeMonitor monitor([](Peer& peer) {
    peer.say("{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n");
    json command = peer.hear();
    EXPECT_FALSE(command.contains("arguments"));
    peer.answer(command, json::object());
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  EXPECT_ERROR(qmp->execute_oob("yank"), "out-of-band");
}

TEST(Qmp, ReturnsValuesAndHumanText) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    json command = peer.hear();
    EXPECT_EQ(command["execute"], "query-status");
    EXPECT_FALSE(command.contains("arguments"));
    peer.answer(command, {{"running", false}});
    command = peer.hear();
    EXPECT_EQ(command["execute"], "human-monitor-command");
    EXPECT_EQ(command["arguments"]["command-line"], "info \xef\xbf\xbd status");
    peer.answer(command, "VM status: paused\r\n");
    peer.answer(peer.hear(), 7);
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  auto status = qmp->execute("query-status", {}, kLong);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(*status, (json{{"running", false}}));
  // A path in a command need not be UTF-8: it must not throw, and U+FFFD replaces the invalid bytes.
  auto text = qmp->human("info \xff status", kLong);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text, "VM status: paused\r\n");
  EXPECT_FALSE(qmp->human("info status", kLong));
}

TEST(Qmp, ErrorAnswerNamesCommandAndReason) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    json command = peer.hear();
    peer.say(json{{"error", {{"class", "GenericError"}, {"desc", "no such thing"}}}, {"id", command["id"]}}
                 .dump() +
             "\n");
    peer.answer(peer.hear(), 1);
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  EXPECT_ERROR(qmp->execute("device_del", {{"id", "x"}}, kLong), "device_del", "no such thing");
  EXPECT_TRUE(qmp->execute("next", {}, kLong));
  EXPECT_FALSE(qmp->broken());
}

TEST(Qmp, AStopIsHeardWhileAQuestionIsOpen) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    peer.hear();
    peer.say("{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 0}}\n");
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  int stops = 0;
  qmp->on_stop([&](double ago) {
    EXPECT_GT(ago, 0);
    ++stops;
  });
  EXPECT_FALSE(qmp->execute("query-migrate", {}, kShort));  // never answered
  EXPECT_EQ(stops, 1);
  EXPECT_TRUE(qmp->next_event(milliseconds(0)));
  EXPECT_EQ(stops, 1) << "called once, and the event is kept";
}

TEST(Qmp, EventsBetweenCommandAndAnswerAreKept) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    json command = peer.hear();
    peer.say(
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 250000}, \"event\": \"MIGRATION\", ");
    peer.say("\"data\": {\"status\": \"setup\"}}\r\n");
    peer.say("{\"event\": \"STOP\", \"timestamp\": {\"seconds\": \"x\"}}\n\n");
    peer.answer(command, 1);
    peer.hear();
    peer.say("{\"event\": \"RESUME\"}\n");
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  EXPECT_TRUE(qmp->execute("migrate", {}, kLong));
  auto event = qmp->next_event(milliseconds(0));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->name, "MIGRATION");
  EXPECT_EQ(event->data["status"], "setup");
  EXPECT_DOUBLE_EQ(event->time_s, 1700000000.25);
  event = qmp->next_event(kLong);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->name, "STOP");
  EXPECT_TRUE(event->data.empty());
  EXPECT_EQ(event->time_s, 0);
  EXPECT_FALSE(qmp->next_event(kShort));
  EXPECT_FALSE(qmp->broken());
  EXPECT_FALSE(qmp->execute("cont", {}, kShort));  // only an event comes
  event = qmp->next_event(kLong);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->name, "RESUME");
}

TEST(Qmp, TheLateAnswerIsNotTakenForTheNext) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    json late = peer.hear();
    json next = peer.hear();
    peer.answer(late, "late");
    peer.answer(next, "next");
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  EXPECT_ERROR(qmp->execute("slow", {}, kShort), "slow");
  EXPECT_FALSE(qmp->broken());
  auto second = qmp->execute("fast", {}, kLong);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(*second, "next");
}

TEST(Qmp, GarbageBreaksTheConnection) {
  for (const char* garbage : {"this is not JSON\n", "[1,2]\n", "{\"return\": \n", "\xff\xfe\x01\n", "7\n"}) {
    FakeMonitor monitor([&](Peer& peer) {
      peer.negotiate();
      peer.hear();
      peer.say(garbage);
      peer.wait_for_end();
    });
    auto qmp = connected(monitor);
    ASSERT_TRUE(qmp);
    auto answer = qmp->execute("query-status", {}, kLong);
    EXPECT_ERROR(answer, "JSON") << garbage;
    ASSERT_TRUE(qmp->broken());
    EXPECT_ERROR(qmp->execute("query-status", {}, kLong), answer.error().message);
    EXPECT_FALSE(qmp->next_event(kLong));  // at once
  }
}

TEST(Qmp, AnswerWithoutValueBreaksTheConnection) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    peer.say(json{{"id", peer.hear()["id"]}}.dump() + "\n");
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  EXPECT_FALSE(qmp->execute("query-status", {}, kLong));
  EXPECT_TRUE(qmp->broken());
}

TEST(Qmp, SomethingElseThanQmpIsRefused) {
  FakeMonitor monitor([](Peer& peer) {
    peer.say("{\"hello\": \"world\"}\n");
    peer.wait_for_end();
  });
  EXPECT_ERROR(Qmp::connect(monitor.path(), kLong), monitor.path(), "not a QMP monitor");
}

// The JSON library recurses for each level when it copies or prints: so deep, it would run out of stack.
TEST(Qmp, WhatIsNestedTooDeepIsLeftOut) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    const json command = peer.hear();
    constexpr size_t kDeep = 1'000'000;
    const std::string deep = std::string(kDeep, '[') + std::string(kDeep, ']');
    peer.say(fmt::format("{{\"return\": {{\"status\": \"active\", \"ram\": {}}}, \"id\": {}}}\n", deep,
                         command["id"].get<uint64_t>()));
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  const auto answer = qmp->execute("query-migrate", {}, kLong);
  ASSERT_TRUE(answer) << answer.error().message;
  const json copy = *answer;
  EXPECT_EQ(copy.value("status", ""), "active");
  EXPECT_LT(copy.dump().size(), 1000u);
}

TEST(Qmp, WhatAQemuSaysIsPrintable) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    const json command = peer.hear();
    peer.say(json{{"error", {{"class", "GenericError"}, {"desc", "no\nwherry: yes\x1b[2K"}}},
                  {"id", command["id"]}}
                 .dump() +
             "\n");
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  const auto answer = qmp->execute("stop", {}, kLong);
  EXPECT_ERROR(answer, "stop", "no\\nwherry: yes\\x1b[2K");
}

TEST(Qmp, EofInTheMiddle) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    peer.hear();
    peer.say("{\"event\": \"SHUTDOWN\"}\n{\"return\": {");
    peer.hang_up();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  EXPECT_ERROR(qmp->execute("quit", {}, kLong), "closed");
  auto event = qmp->next_event(kLong);  // events that came before are still returned
  ASSERT_TRUE(event);
  EXPECT_EQ(event->name, "SHUTDOWN");
  EXPECT_FALSE(qmp->next_event(kLong));
  EXPECT_TRUE(qmp->broken());
}

TEST(Qmp, EofWhileWaitingForAnEventEndsTheWait) {
  FakeMonitor monitor([](Peer& peer) { peer.negotiate(); });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  EXPECT_FALSE(qmp->next_event(kLong));
  EXPECT_TRUE(qmp->broken());
  EXPECT_FALSE(qmp->execute("query-status", {}, kLong));
}

TEST(Qmp, AnOccupiedMonitorIsNamedAsSuch) {
  FakeMonitor monitor(nullptr);  // listens and never accepts, as QEMU does while it has another client
  EXPECT_ERROR(Qmp::connect(monitor.path(), kShort), monitor.path(), "occupied");

  std::vector<Fd> queued;  // connections that fill the listener's queue
  for (int i = 0; i < 8; ++i) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, monitor.path().data(), monitor.path().size());
    queued.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    (void)::connect(queued.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  EXPECT_ERROR(Qmp::connect(monitor.path(), kShort), monitor.path(), "occupied");
}

TEST(Qmp, OverLongLine) {
  FakeMonitor monitor([](Peer& peer) {
    peer.negotiate();
    peer.hear();
    peer.say("{\"return\": \"");
    std::string chunk(1 << 20, 'x');
    for (int i = 0; i < 18; ++i) peer.say(chunk);
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  EXPECT_ERROR(qmp->execute("query-everything", {}, kLong), "line of more than");
  EXPECT_TRUE(qmp->broken());
}

TEST(Qmp, LongLinesBelowTheBoundArrive) {
  std::string text(8 << 20, 'y');
  FakeMonitor monitor([&](Peer& peer) {
    peer.negotiate();
    peer.answer(peer.hear(), text);
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  auto answer = qmp->execute("query-much", {}, kLong);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, text);
}

TEST(Qmp, EventsNobodyTakesAreBounded) {
  size_t sent = Qmp::kMostEvents + 1000;
  FakeMonitor monitor([&](Peer& peer) {
    peer.negotiate();
    json command = peer.hear();
    std::string lines;
    for (size_t i = 0; i < sent; ++i) {
      lines += fmt::format("{{\"event\": \"MIGRATION_PASS\", \"data\": {{\"pass\": {}}}}}\n", i);
    }
    peer.say(lines);
    peer.answer(command, 1);
    peer.wait_for_end();
  });
  auto qmp = connected(monitor);
  ASSERT_TRUE(qmp);
  ASSERT_TRUE(qmp->execute("query-migrate", {}, kLong));
  auto event = qmp->next_event(milliseconds(0));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->data["pass"], 1000);
}

TEST(Qmp, NobodyThere) {
  EXPECT_ERROR(Qmp::connect("/nonexistent/qmp.sock", kLong), "/nonexistent/qmp.sock");
  EXPECT_FALSE(Qmp::connect("", kLong));
  EXPECT_FALSE(Qmp::connect(std::string(200, 'x'), kLong));
}

}  // namespace
}  // namespace wherry
