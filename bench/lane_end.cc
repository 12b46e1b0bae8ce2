// One end of a session with a null QEMU, for two machines (bench/rdma).
//
//   lane_end receive ADDRESS:PORT                prints a line when it listens, serves one session, exits
//   lane_end send ADDRESS:PORT tcp|verbs MIB     sends MIB of raw pages into resident guest RAM over one
//                                                lane, TCP or RDMA; prints its figures as a line of JSON
//
// The costs in the figures are those of null_qemu.h, for both ends. Exit status: 0 done, 1 failed (stderr
// says why), 2 bad usage.
#include <charconv>
#include <chrono>
#include <cstdio>

#include "bench/null_qemu.h"
#include "transport/socket/listener.h"

namespace wherry::bench {
namespace {

Result<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return fail("{} is not a number", text);
  return value;
}

Result<Endpoint> endpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return fail("{} has no port", text);
  auto port = number(std::string_view(text).substr(colon + 1));
  if (!port) return pass_on(port);
  return Endpoint{.path = {}, .host = text.substr(0, colon), .port = static_cast<uint16_t>(*port)};
}

Result<> receive(const std::string& at) {
  auto where = endpoint(at);
  if (!where) return pass_on(where);
  auto listener = Listener::open(*where);
  if (!listener) return pass_on(listener);
  std::puts("listens");
  std::fflush(stdout);
  return receive_null(*listener, {});
}

Result<> send(const std::string& to, std::string_view lane, std::string_view mib) {
  auto where = endpoint(to);
  if (!where) return pass_on(where);
  auto size = number(mib);
  if (!size) return pass_on(size);
  SourceSession::Options options;
  options.peers = {*where};
  options.lanes = 1;
  options.compression.mode = Compression::Mode::off;
  options.fabric.use = lane == "tcp" ? FabricWish::Use::never : FabricWish::Use::require;
  auto source = NullSource::connect(std::move(options), false, std::vector<uint8_t>(kBatchBytes, 1));
  if (!source) return pass_on(source);
  const auto start = std::chrono::steady_clock::now();
  const uint64_t bytes = uint64_t{*size} << 20;
  for (uint64_t sent = 0; sent < bytes; sent += kBatchBytes) (*source)->send_batch();
  auto costs = (*source)->finish();
  if (!costs) return pass_on(costs);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const auto json = [](const Cost& cost) {
    return nlohmann::json{{"process", cost.process}, {"machine", cost.machine}};
  };
  const nlohmann::json figures{{"bytes", bytes},
                               {"seconds", took.count()},
                               {"source", json(costs->source)},
                               {"destination", json(costs->destination)}};
  std::puts(figures.dump().c_str());
  return {};
}

}  // namespace
}  // namespace wherry::bench

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool receives = arguments.size() == 2 && arguments[0] == "receive";
  const bool sends =
      arguments.size() == 4 && arguments[0] == "send" && (arguments[2] == "tcp" || arguments[2] == "verbs");
  if (!receives && !sends) {
    std::fputs("usage: lane_end receive ADDRESS:PORT | send ADDRESS:PORT tcp|verbs MIB\n", stderr);
    return 2;
  }
  const auto done = receives ? wherry::bench::receive(arguments[1])
                             : wherry::bench::send(arguments[1], arguments[2], arguments[3]);
  if (!done) std::fprintf(stderr, "lane_end: %s\n", done.error().message.c_str());
  return done ? 0 : 1;
}
