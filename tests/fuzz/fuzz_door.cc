// The one port of wherryd: strangers and peers, each connection by its first frame. Input: a byte for the
// configuration, then connections.
//
// The door, its routes and its directories are the real ones. What it starts for a migration is a program
// that ends at once, and libvirt is a socket that sends back what it gets.
#include <fcntl.h>
#include <fuzzer/FuzzedDataProvider.h>
#include <netinet/in.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/printable.h"
#include "qemu-glue/daemon/arrivals.h"
#include "qemu-glue/daemon/door.h"
#include "qemu-glue/daemon/runtime_dir.h"
#include "tests/fuzz/promise.h"
#include "transport/socket/endpoint.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"
#include "transport/wire/frame_socket.h"

namespace wherry::daemon {
namespace {

using Bytes = std::vector<uint8_t>;
namespace fs = std::filesystem;

// What runs have reached, in all of them together.
struct Reached {
  std::atomic<uint64_t> refused = 0;
  std::atomic<uint64_t> migrations = 0;  // that began
  std::atomic<uint64_t> alive = 0;       // that were told that this wherryd is
  std::atomic<uint64_t> libvirt = 0;     // that got bytes back from libvirt
};
Reached reached;

// A socket of libvirt: sends back what comes.
class Libvirt {
 public:
  explicit Libvirt(const std::string& path)
      : listener_(*Listener::open({.path = path, .host = {}, .port = 0})), connections_("libvirt") {
    thread_ = std::thread([this] {
      for (;;) {
        auto call = listener_.accept(std::chrono::seconds(30));
        if (!call) return;
        ++calls_;
        PROMISE(connections_.serve(std::move(*call), echo));
      }
    });
  }
  ~Libvirt() {
    listener_.stop();
    thread_.join();
  }
  size_t calls() const { return calls_; }

 private:
  static void echo(Fd connection) {
    std::array<uint8_t, 4096> bytes;
    for (;;) {
      const ssize_t got = ::recv(connection.get(), bytes.data(), bytes.size(), 0);
      if (got <= 0 || !send_all(connection.get(), {bytes.data(), static_cast<size_t>(got)})) return;
    }
  }

  const Listener listener_;
  std::atomic<size_t> calls_ = 0;
  Connections connections_;
  std::thread thread_;
};

size_t descriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

// A directory for this process, removed at its end.
const std::string& place() {
  static const struct Place {
    Place() {
      std::string made = "/tmp/wherry-fuzz-XXXXXX";
      PROMISE(::mkdtemp(made.data()));
      path = made;
    }
    ~Place() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
    std::string path;
  } place;
  return place.path;
}

constexpr std::array kAccess{LibvirtAccess::none, LibvirtAccess::read_only, LibvirtAccess::manage};

// Hosts of this network: this one, two peers, and one that is none.
enum Host : uint8_t { here = 1, near = 2, next = 3, stranger = 4 };

Config configured(FuzzedDataProvider& input) {
  Config config;
  config.listen = *Uri::parse("wherry://127.0.0.1:0");
  config.runtime_dir = place() + "/run";
  config.libvirt = place() + "/libvirt";
  config.others = input.PickValueInArray(kAccess);
  for (const auto& [name, host] : {std::pair("near", near), std::pair("next", next)})
    config.peers[name] = {.name = name,
                          .hosts = {{.path = {}, .host = "127.0.0." + std::to_string(host), .port = 0}},
                          .libvirt = input.PickValueInArray(kAccess)};
  return config;
}

// ---- a caller

std::string route(FuzzedDataProvider& input) {
  switch (input.ConsumeIntegralInRange(0, 7)) {
    case 0:
    case 6:
    case 7:
      return "D/" + std::to_string(input.ConsumeIntegralInRange(0, 3));
    case 1:
      return "near/1";
    case 2:
      return std::string(input.ConsumeIntegralInRange<size_t>(60, 70), 'h') + "/" +
             std::string(input.ConsumeIntegralInRange<size_t>(30, 34), '1');
    case 3:
      return "::1/../" + input.ConsumeRandomLengthString(8);
    default:
      return input.ConsumeRandomLengthString(80);
  }
}

nlohmann::json body(FuzzedDataProvider& input, FrameType type) {
  nlohmann::json map = nlohmann::json::object();
  if (type == FrameType::service) {
    constexpr std::array kServices{"libvirt", "alive", "route", "route", "", "metrics"};
    map["service"] = input.PickValueInArray(kServices);
    if (input.ConsumeBool())
      map["padding"] = std::string(input.ConsumeIntegralInRange<size_t>(0, 20000), ' ');
  } else {
    map["route"] = route(input);
    map["lanes"] = 1u;
  }
  if (!input.ConsumeBool()) return map;
  const nlohmann::json odd[] = {nullptr, -1, nlohmann::json::array({map}), "\xff\x1b", 7u, map};
  *map.begin() = odd[input.ConsumeIntegralInRange<size_t>(0, std::size(odd) - 1)];
  return map;
}

Bytes framed(FrameHeader header, const Bytes& body) {
  header.body_length = static_cast<uint32_t>(body.size());
  Checksum sum;
  sum.add(body);
  header.body_sum = sum.value();
  const HeaderBytes head = encode_header(header, {});
  Bytes bytes(head.begin(), head.end());
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

Bytes first_frame(FuzzedDataProvider& input) {
  constexpr std::array kTypes{FrameType::hello, FrameType::lane_hello, FrameType::last_word,
                              FrameType::service};
  Bytes bytes;
  switch (input.ConsumeIntegralInRange(0, 9)) {
    case 0:
      return input.ConsumeBytes<uint8_t>(input.ConsumeIntegralInRange<size_t>(0, 200));
    case 1:
      bytes = framed({.type = static_cast<FrameType>(input.ConsumeIntegral<uint8_t>())},
                     input.ConsumeBytes<uint8_t>(input.ConsumeIntegralInRange<size_t>(0, 200)));
      break;
    case 2:
      bytes = framed({.type = input.PickValueInArray(kTypes)},
                     input.ConsumeBytes<uint8_t>(input.ConsumeIntegralInRange<size_t>(0, 200)));
      break;
    case 3:  // a long body
      bytes =
          framed({.type = FrameType::hello}, Bytes(input.ConsumeIntegralInRange<size_t>(16000, 17000), 0xa0));
      break;
    default:
      const FrameType type = input.PickValueInArray(kTypes);
      bytes = framed({.type = type}, nlohmann::json::to_cbor(body(input, type)));
  }
  if (input.ConsumeIntegralInRange(0, 7) == 0 && !bytes.empty())
    bytes[input.ConsumeIntegralInRange<size_t>(0, bytes.size() - 1)] ^= 1
                                                                        << input.ConsumeIntegralInRange(0, 7);
  if (input.ConsumeIntegralInRange(0, 7) == 0)
    bytes.resize(input.ConsumeIntegralInRange<size_t>(0, bytes.size()));
  return bytes;
}

// What the door has answered, to the end of what it says; `more` follows a welcome.
void expect_answer(FrameSocket& socket, const Bytes& more) {
  FrameHead head;
  auto got = socket.receive_head(head);
  if (!got) PROMISE(socket.lost());
  if (!got || !*got) return;
  auto text = socket.receive_body();
  PROMISE(text && (head.header.type == FrameType::welcome || head.header.type == FrameType::refuse));
  const std::string said(text->begin(), text->end());
  if (head.header.type == FrameType::refuse) {
    ++reached.refused;
    PROMISE(!said.empty() && printable(said) == said);
    return;
  }
  const nlohmann::json map = nlohmann::json::from_cbor(*text);
  if (map.contains("manages")) ++reached.alive;
  if (!map.contains("read_only") || more.empty() || !send_all(socket.fd(), more)) return;
  Bytes back(more.size());
  auto echoed = recv_all(socket.fd(), std::span<uint8_t>(back));
  PROMISE(!echoed || !*echoed || back == more);
  if (echoed && *echoed) ++reached.libvirt;
}

// A call of libvirt that a migration needs, and no other.
Bytes open_call() {
  Bytes bytes;
  for (const uint32_t word : {28u, 0x20008086u, 1u, 1u, 0u, 7u, 0u})
    for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<uint8_t>(word >> shift));
  return bytes;
}

// Who calls: a host, as its root or as one of its users.
struct Calling {
  Host host;
  bool is_root;
};

Calling calling(FuzzedDataProvider& input) {
  constexpr std::array kHosts{near, near, near, next, here, stranger};
  return {input.PickValueInArray(kHosts), input.ConsumeIntegralInRange(0, 3) > 0};
}

// Nothing: that port is in use, also by a connection that was there lately.
Fd connect_from(sockaddr_in from, const Endpoint& door) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  PROMISE(fd);
  const linger at_once{1, 0};  // leaves no port behind in TIME_WAIT
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(door.port);
  const bool there = ::bind(fd.get(), reinterpret_cast<sockaddr*>(&from), sizeof from) == 0 &&
                     ::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  PROMISE(there || errno == EADDRINUSE || errno == EADDRNOTAVAIL);
  return there ? std::move(fd) : Fd();
}

std::unique_ptr<FrameSocket> connect(const Endpoint& door, const Calling& as) {
  static uint16_t roots_port = 512;
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + as.host);
  Fd fd;
  for (int tries = 0; !fd; ++tries) {
    PROMISE(tries < 512);
    if (as.is_root) from.sin_port = htons(roots_port = roots_port == 1023 ? 512 : roots_port + 1);
    fd = connect_from(from, door);
  }
  auto socket = std::make_unique<FrameSocket>(std::move(fd), "the door");
  socket->set_patience(std::chrono::milliseconds(50));
  return socket;
}

void call(FuzzedDataProvider& input, std::unique_ptr<FrameSocket> socket,
          std::vector<std::unique_ptr<FrameSocket>>& left_open) {
  const Bytes bytes = first_frame(input);
  const auto cut = input.ConsumeIntegralInRange<size_t>(0, bytes.size());
  const std::span<const uint8_t> all(bytes);
  // It may have refused already what has come so far.
  if (send_all(socket->fd(), all.first(cut))) (void)send_all(socket->fd(), all.subspan(cut));
  Bytes more = input.ConsumeBytes<uint8_t>(input.ConsumeIntegralInRange<size_t>(0, 40));
  switch (input.ConsumeIntegralInRange(0, 4)) {
    case 0:
      return;
    case 1:
      ::shutdown(socket->fd(), SHUT_WR);
      return expect_answer(*socket, {});
    case 2:
      left_open.push_back(std::move(socket));
      return;
    case 3:
      more = open_call();
      [[fallthrough]];
    default:
      return expect_answer(*socket, more);
  }
}

// What a Wherry says first, and nothing odd. Whether it is welcome; nothing: there was no answer.
std::optional<bool> is_welcome(FrameSocket& socket, FrameType type, const nlohmann::json& map) {
  if (!send_all(socket.fd(), framed({.type = type}, nlohmann::json::to_cbor(map)))) return std::nullopt;
  FrameHead head;
  auto got = socket.receive_head(head);
  if (!got || !*got || !socket.receive_body()) return std::nullopt;
  return head.header.type == FrameType::welcome;
}

// Asks for libvirt, and uses it.
void use_libvirt(const Endpoint& door, const Calling& as, LibvirtAccess access) {
  const auto socket = connect(door, as);
  const auto welcome = is_welcome(*socket, FrameType::service, {{"service", "libvirt"}});
  if (!welcome) return;
  PROMISE(*welcome == (as.is_root && access != LibvirtAccess::none));
  const Bytes call = open_call();
  Bytes back(call.size());
  if (!*welcome || !send_all(socket->fd(), std::span<const uint8_t>(call))) return;
  if (auto echoed = recv_all(socket->fd(), std::span<uint8_t>(back)); echoed && *echoed && back == call)
    ++reached.libvirt;
}

// Announces a route, and begins a migration there, as another host perhaps.
void migrate(const Endpoint& door, const Calling& announces, const Calling& begins,
             const std::string& route) {
  const auto may = [](const Calling& who) { return who.is_root && (who.host == near || who.host == next); };
  const auto first = connect(door, announces);
  const auto known = is_welcome(*first, FrameType::service, {{"service", "route"}, {"route", route}});
  PROMISE(!known || !*known || may(announces));
  const auto second = connect(door, begins);
  if (send_all(second->fd(), framed({.type = FrameType::hello}, nlohmann::json::to_cbor({{"route", route}}))))
    expect_answer(*second, {});  // what stands in for the migration's process says nothing
}

LibvirtAccess access(const Config& config, Host host) {
  if (host == near) return *config.peers.at("near").libvirt;
  if (host == next) return *config.peers.at("next").libvirt;
  return config.others;
}

void one_day(FuzzedDataProvider& input) {
  const Config config = configured(input);
  PROMISE(make_runtime_dir(config.runtime_dir));
  Libvirt managed(config.libvirt);
  Libvirt read_only(config.libvirt + "-ro");
  bool may_manage = false;
  bool may_look = false;
  bool may_migrate = false;
  {
    Arrivals arrivals(config, "/bin/true");
    auto door = Door::open(config, arrivals);
    PROMISE(door);
    std::vector<std::unique_ptr<FrameSocket>> left_open;
    for (int calls = 0; calls < 12 && input.remaining_bytes() > 0; ++calls) {
      const Calling as = calling(input);
      may_manage |= as.is_root && access(config, as.host) == LibvirtAccess::manage;
      may_look |= as.is_root && access(config, as.host) == LibvirtAccess::read_only;
      may_migrate |= as.is_root && (as.host == near || as.host == next);
      const Endpoint& where = (*door)->listener().where();
      const int what = input.ConsumeIntegralInRange(0, 7);
      if (what == 0)
        use_libvirt(where, as, access(config, as.host));
      else if (what == 1)
        migrate(where, as, input.ConsumeBool() ? as : Calling{next, true}, "D/7");
      else
        call(input, connect(where, as), left_open);
      const size_t arriving = arrivals.list().size();
      PROMISE(arriving == 0 || may_migrate);
      reached.migrations += arriving;
    }
    left_open.clear();
  }
  // Who has no right to libvirt has not reached it, and no more than the right that it has.
  PROMISE(may_manage || managed.calls() == 0);
  PROMISE(may_look || read_only.calls() == 0);
  // A name of a peer's makes directories nowhere else.
  for (const auto& entry : fs::directory_iterator(place())) {
    const std::string name = entry.path().filename();
    PROMISE(name == "run" || name == "libvirt" || name == "libvirt-ro");
  }
  remove_stale_routes(config.runtime_dir);
}

}  // namespace
}  // namespace wherry::daemon

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  spdlog::set_default_logger(spdlog::null_logger_mt("nowhere"));
  wherry::daemon::place();
  // scripts/test looks at this line: where one of them is 0, the corpus leads nowhere any more.
  std::atexit([] {
    const auto& reached = wherry::daemon::reached;
    std::fprintf(stderr, "reached: refused %lu, migrations %lu, alive %lu, libvirt %lu\n",
                 reached.refused.load(), reached.migrations.load(), reached.alive.load(),
                 reached.libvirt.load());
  });
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static size_t open_at_first = 0;
  // Whom the door no longer watches is nobody's to wait for. Not earlier: libFuzzer waits for processes of
  // its own.
  ::signal(SIGCHLD, SIG_IGN);
  FuzzedDataProvider input(data, size);
  wherry::daemon::one_day(input);
  const size_t open = wherry::daemon::descriptors();
  if (open_at_first == 0) open_at_first = open;
  // The sanitizers open a few of their own. One that is left open by each run is found.
  PROMISE(open <= open_at_first + 8);
  return 0;
}
