#include "base/trace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using nlohmann::json;

std::vector<json> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  return lines;
}

TEST(Trace, WritesALineForEachEventInOrder) {
  test::TempDir dir;
  {
    auto trace = Trace::open(dir.at("t.jsonl"));
    ASSERT_TRUE(trace) << trace.error().message;
    const Tracer source(trace->get(), "source");
    source("lane_opened", {{"lane", 0}, {"peer", "hostb:1"}});
    Tracer(trace->get(), "destination")("done");
  }
  const auto lines = lines_of(dir.at("t.jsonl"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["event"], "lane_opened");
  EXPECT_EQ(lines[0]["end"], "source");
  EXPECT_EQ(lines[0]["peer"], "hostb:1");
  EXPECT_EQ(lines[0]["process"], ::getpid());
  EXPECT_GE(lines[1]["t"].get<double>(), lines[0]["t"].get<double>());
  EXPECT_EQ(lines[1]["end"], "destination");
}

TEST(Trace, LinesAreInTheOrderOfTheirTime) {
  test::TempDir dir;
  {
    auto trace = Trace::open(dir.at("t.jsonl"));
    ASSERT_TRUE(trace);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int event = 0; event < 1000; ++event) Tracer(trace->get(), "source")("event");
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::vector<double> times;
  for (const json& line : lines_of(dir.at("t.jsonl"))) times.push_back(line["t"]);
  EXPECT_EQ(times.size(), 4000u);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
}

TEST(Trace, CountsFromTheBeginningOfAReport) {
  test::TempDir dir;
  {
    auto trace = Trace::open(dir.at("t.jsonl"));
    ASSERT_TRUE(trace);
    (*trace)->count_from(std::chrono::steady_clock::now() - std::chrono::hours(1));
    Tracer(trace->get(), "source")("done");
  }
  const auto lines = lines_of(dir.at("t.jsonl"));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_GE(lines[0]["t"].get<double>(), 3600);
}

TEST(Trace, AddsToAFileThatIsThere) {
  test::TempDir dir;
  for (int i = 0; i < 2; ++i) {
    auto trace = Trace::open(dir.at("t.jsonl"));
    ASSERT_TRUE(trace);
    Tracer(trace->get(), "source")("done", {{"turn", i}});
  }
  const auto lines = lines_of(dir.at("t.jsonl"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1]["turn"], 1);
}

TEST(Trace, TextThatIsNotUtf8IsALineAllTheSame) {
  test::TempDir dir;
  {
    auto trace = Trace::open(dir.at("t.jsonl"));
    ASSERT_TRUE(trace);
    Tracer(trace->get(), "source")("lane_lost", {{"why", "\xff\n"}});
  }
  EXPECT_EQ(lines_of(dir.at("t.jsonl")).size(), 1u);
}

// Nobody reads the pipe at first: the writer stands still, and the session does not.
TEST(Trace, DropsRatherThanWaiting) {
  test::TempDir dir;
  const std::string path = dir.at("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  constexpr size_t kEvents = 4 * Trace::kMostWaiting;
  std::string text;
  {
    auto trace = Trace::open(path);
    ASSERT_TRUE(trace) << trace.error().message;
    const Tracer tracer(trace->get(), "source");
    for (size_t i = 0; i < kEvents; ++i) tracer("event", {{"number", i}});
    std::thread reading([&] {
      std::vector<char> piece(1 << 16);
      while (text.find("\"dropped\"") == std::string::npos) {
        const ssize_t got = ::read(reader.get(), piece.data(), piece.size());
        if (got > 0) text.append(piece.data(), static_cast<size_t>(got));
        if (got <= 0) std::this_thread::yield();
      }
    });
    reading.join();
  }
  size_t written = 0;
  size_t dropped = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const json event = json::parse(line);
    if (event["event"] == "event") ++written;
    if (event["event"] == "dropped") dropped += event["lines"].get<size_t>();
  }
  EXPECT_GT(dropped, 0u);
  EXPECT_EQ(written + dropped, kEvents);
}

TEST(Trace, APathThatCannotBeIsNamed) {
  EXPECT_ERROR(Trace::open("/nowhere/t.jsonl"), "/nowhere/t.jsonl", "No such file");
}

TEST(Tracer, WithoutATraceNothingHappens) {
  const Tracer nobody;
  nobody("event");
  EXPECT_FALSE(nobody);
}

}  // namespace
}  // namespace wherry
