// A whole session with a null QEMU at each end, over each path that this machine has
// (tests/transport/path.h). For comparison, also plain send and recv of 512 KiB.
//
//   direct    raw pages into resident guest RAM
//   relay     raw pages into slots, where they are dropped
//   encoded   pages that compress by half, into guest RAM
//
// The destination has its own process. `there` is its processor seconds for a GB of pages, `here` the
// source's. Everything runs on one core, so bytes a second are bytes a core-second.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <thread>

#include "bench/null_qemu.h"
#include "tests/transport/path.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"

namespace wherry::bench {
namespace {

void use_one_core() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  sched_setaffinity(0, sizeof one, &one);
}

Endpoint at_address(const std::string& host, uint16_t port = 0) {
  return {.path = {}, .host = host, .port = port};
}

// A process that serves one session after the other over one path, each at a new port. It must be created
// before libfabric is used, because a process that uses libfabric cannot fork.
class Receiver {
 public:
  explicit Receiver(const test::Path& path) : path_(path) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
    ports_ = Fd(ends[0]);
    const Fd ports(ends[1]);
    const pid_t parent = ::getpid();
    if (::fork() != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (::getppid() == parent) serve(ports, path.fabric);
    ::_exit(0);
  }
  const test::Path& path() const { return path_; }
  // The port of the next session; 0 if there is none.
  uint16_t port() const {
    uint16_t port = 0;
    return ::read(ports_.get(), &port, sizeof port) == sizeof port ? port : 0;
  }

 private:
  static void serve(const Fd& ports, const FabricWish& wish) {
    auto listener = Listener::open(at_address("0.0.0.0"));
    if (!listener) ::_exit(1);
    const uint16_t port = listener->where().port;
    if (::write(ports.get(), &port, sizeof port) != sizeof port) ::_exit(1);
    if (auto received = receive_null(*listener, wish); !received)
      std::fprintf(stderr, "destination: %s\n", received.error().message.c_str());
  }

  const test::Path path_;
  Fd ports_;
};

// Exits, because the receiver may be waiting for a session that will not come, and then serves no other.
[[noreturn]] void give_up(const Error& why) {
  std::fprintf(stderr, "source: %s\n", why.message.c_str());
  std::exit(1);
}

enum class Pages { direct, relay, encoded };

std::vector<uint8_t> batch_of(Pages kind) {
  std::vector<uint8_t> bytes(kBatchBytes, 1);
  std::mt19937 random(1);  // NOLINT: the same pages in each run
  for (size_t at = 0; at < bytes.size(); ++at) {
    if (kind == Pages::encoded && at % kPage < kPage / 2) bytes[at] = static_cast<uint8_t>(random());
  }
  return bytes;
}

void session(benchmark::State& state, const Receiver& receiver, Pages pages, size_t lanes) {
  SourceSession::Options options;
  options.peers = {at_address(receiver.path().address, receiver.port())};
  options.lanes = lanes;
  options.compression.mode = pages == Pages::encoded ? Compression::Mode::zstd : Compression::Mode::off;
  options.fabric = receiver.path().fabric;
  auto source = NullSource::connect(std::move(options), pages == Pages::relay, batch_of(pages));
  if (!source) give_up(source.error());
  for (auto _ : state) (*source)->send_batch();
  auto costs = (*source)->finish();
  if (!costs) give_up(costs.error());
  const int64_t bytes = static_cast<int64_t>(state.iterations()) * kBatchBytes;
  state.SetBytesProcessed(bytes);
  state.counters["here"] = costs->source.process / static_cast<double>(bytes) * 1e9;
  state.counters["there"] = costs->destination.process / static_cast<double>(bytes) * 1e9;
}

void plain_socket(benchmark::State& state) {
  auto listener = Listener::open(at_address("127.0.0.1"));
  std::thread receiving([&] {
    auto socket = listener->accept(std::chrono::seconds(30));
    std::vector<uint8_t> ram(kRam);
    for (size_t at = 0;; at = (at + kBatchBytes) % kRam) {
      auto more = recv_all(socket->get(), std::span<uint8_t>(&ram[at], kBatchBytes));
      if (!more || !*more) return;
    }
  });
  auto socket = connect_to(listener->where(), std::chrono::seconds(5), std::chrono::seconds(30));
  std::vector<uint8_t> batch(kBatchBytes);
  int value = 0;
  for (auto _ : state) {
    std::memset(batch.data(), value++, batch.size());
    if (!send_all(socket->get(), std::span<const uint8_t>(batch))) return state.SkipWithError("send failed");
  }
  socket->reset();
  receiving.join();
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kBatchBytes);
}

void add(const Receiver& receiver) {
  const std::array<std::pair<const char*, Pages>, 3> kinds{
      {{"direct", Pages::direct}, {"relay", Pages::relay}, {"encoded", Pages::encoded}}};
  for (const auto& [name, kind] : kinds) {
    const Pages pages = kind;  // a lambda cannot capture a structured binding
    for (const size_t lanes : {1, 4}) {
      if (lanes > 1 && pages != Pages::direct) continue;
      benchmark::RegisterBenchmark(
          fmt::format("session/{}/{}/lanes:{}", receiver.path().name, name, lanes).c_str(),
          [&receiver, pages, lanes](benchmark::State& state) { session(state, receiver, pages, lanes); })
          ->UseRealTime();
    }
  }
}

}  // namespace
}  // namespace wherry::bench

int main(int argc, char** argv) {
  wherry::bench::use_one_core();
  std::deque<wherry::bench::Receiver> receivers;
  for (const wherry::test::Path& path : wherry::test::all_paths()) receivers.emplace_back(path);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const wherry::bench::Receiver& receiver : receivers) wherry::bench::add(receiver);
  benchmark::RegisterBenchmark("plain_socket", wherry::bench::plain_socket)->UseRealTime();
  benchmark::RunSpecifiedBenchmarks();
}
