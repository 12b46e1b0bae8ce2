#include "transport/fabric/fabric_handshake.h"

#include <poll.h>

#include <algorithm>
#include <filesystem>

#include "base/bytes.h"
#include "base/random_key.h"
#include "transport/fabric/fabric_lane_receiver.h"
#include "transport/fabric/fabric_lane_sender.h"
#include "transport/fabric/fabric_listener.h"
#include "transport/socket/socket.h"
#include "transport/wire/control.h"
#include "transport/wire/first_frame.h"

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;

// How long the call and the sample may take. Over soft-RoCE they take a second on a busy machine.
constexpr std::chrono::seconds kConnect{10};
// How long the other side's attempt may take.
constexpr std::chrono::milliseconds kOtherTries{15000};
constexpr size_t kKeyBytes = 16;
// In bytes. The sample goes the way of a guest's pages. At the source a page of the guest lies anywhere in
// the host's pages, after QEMU's headers; at the destination every write begins at the beginning of a page.
// With registration on demand Linux's soft-RoCE (6.18, 7.3) loses the place within a page: always of what it
// reads, and of what it writes if RDMA's MTU is less than a page.
constexpr size_t kSampleBytes = 64 * 1024;
constexpr size_t kSampleAt = 8;
constexpr uint32_t kSampleTag = 0x574d5259;

// The message that says where the sample is to be written: address and key.
constexpr size_t kWhereBytes = 16;
constexpr size_t kWhereKeyAt = 8;

using Key = std::array<uint8_t, kKeyBytes>;

std::chrono::milliseconds left(Clock::time_point until) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()),
                  std::chrono::milliseconds(0));
}

// The sample that both ends make from the key.
void fill_sample(std::span<uint8_t> sample, const Key& key) {
  for (size_t i = 0; i < sample.size(); ++i)
    sample[i] = static_cast<uint8_t>(key[i % key.size()] + i / key.size() * 167);
}

bool says_yes(const nlohmann::json& map) {
  const auto found = map.find("fabric");
  return found != map.end() && found->is_boolean() && found->get<bool>();
}

std::string text_of(const nlohmann::json& map, const char* key, const char* otherwise) {
  return peer_text(map, key).value_or(otherwise);
}

Result<> send_map(FrameSocket& socket, FrameType type, const nlohmann::json& map) {
  return socket.send({.type = type}, nlohmann::json::to_cbor(map));
}

// At the source: where the destination wants the sample.
Result<FabricConnection::Target> await_where(FabricConnection& connection, Clock::time_point until) {
  auto event = connection.next(left(until));
  if (!event) return pass_on(event);
  if (!*event || !(*event)->message || (*event)->message.bytes().size() < kWhereBytes)
    return fail("the receiver did not say where to write");
  const std::span<const uint8_t> message = (*event)->message.bytes();
  return FabricConnection::Target{get_le<uint64_t>(message.data()), get_le<uint64_t>(&message[kWhereKeyAt])};
}

Result<std::unique_ptr<FabricConnection>> call(const nlohmann::json& where, const std::string& address,
                                               const FabricWish& wish, FabricDomains& domains,
                                               SlotPool& pool) {
  auto port = member<uint16_t>(where, "port");
  if (!port) return pass_on(port);
  auto key = numbers<uint8_t>(where, "key");
  if (!key) return pass_on(key);
  if (key->size() != kKeyBytes) return fail("the receiver's key has the wrong length");
  auto path = fabric::path_to(wish.provider, address, *port);
  if (!path) return pass_on(path);
  const auto until = Clock::now() + kConnect;
  auto connected = FabricConnection::connect(domains, **path, fabric_source_shape(), *key, until);
  if (!connected) return connected;
  FabricConnection& connection = **connected;
  auto to = await_where(connection, until);
  if (!to) return pass_on(to);
  connection.domain().add_own(pool.memory(), kSlotBytes);
  const Slot slot = pool.take();
  const std::span<uint8_t> sample(slot.get() + kSampleAt, kSampleBytes);
  Key as_array{};
  std::copy(key->begin(), key->end(), as_array.begin());
  fill_sample(sample, as_array);
  const std::span<const uint8_t> piece = sample;
  if (auto written = connection.write({&piece, 1}, *to, kSampleTag); !written) return pass_on(written);
  while (!connection.idle()) {
    if (Clock::now() > until) return fail("a write to the receiver does not get through");
    // A failed write shows here.
    if (auto nothing = connection.next(std::chrono::milliseconds(10)); !nothing) return pass_on(nothing);
  }
  return connected;
}

// The destination's part: says where the sample goes, and looks whether it came.
Result<> await_sample(FabricConnection& connection, const Key& key, Clock::time_point until) {
  auto target = connection.domain().lend_target();
  if (!target) return pass_on(target);
  const FabricDomain::Target& to = **target;
  auto sent = connection.send([&](std::span<uint8_t> message) {
    put_le(message.data(), to.reach.address);
    put_le(&message[kWhereKeyAt], to.reach.key);
    return kWhereBytes;
  });
  if (!sent) return sent;
  auto event = connection.next(left(until));
  if (!event) return pass_on(event);
  if (!*event || (*event)->message || (*event)->tag != kSampleTag) return fail("the sample did not come");
  std::vector<uint8_t> expected(kSampleBytes);
  fill_sample(expected, key);
  if (!std::equal(expected.begin(), expected.end(), to.bytes.begin())) return fail("the sample came damaged");
  return {};
}

}  // namespace

std::string why_no_fabric(const FabricWish& wish) {
  if (wish.use == FabricWish::Use::never) return "not asked for";
  std::error_code none;
  // Most hosts have no device, and need not load libfabric's providers.
  const std::filesystem::directory_iterator devices("/sys/class/infiniband", none);
  if (wish.provider == "verbs" && devices == std::filesystem::directory_iterator())
    return "this host has no RDMA device";
  (void)fabric::path_at(wish.provider, "127.0.0.1");  // loads them; which device it is depends on the peer
  return {};
}

Result<> find_fabric(const FrameSocket& socket, const FabricWish& wish) {
  auto path = fabric::path_to(wish.provider, numeric_address(socket.fd(), End::peer), 1);
  if (!path) return pass_on(path);
  return {};
}

Result<FabricPath> call_fabric(FrameSocket& socket, const nlohmann::json& welcome, const FabricWish& wish,
                               FabricDomains& domains, SlotPool& pool) {
  const auto where = welcome.find("fabric");
  if (where == welcome.end() || !where->is_object())
    return FabricPath{nullptr, text_of(welcome, "no_fabric", "the receiver's Wherry does not know RDMA")};
  auto called = call(*where, numeric_address(socket.fd(), End::peer), wish, domains, pool);
  socket.set_patience(kOtherTries);
  nlohmann::json word = {{"fabric", called.has_value()}};
  if (!called) word["why"] = called.error().message;
  if (auto sent = send_map(socket, FrameType::lane_path, word); !sent) return pass_on(sent);
  auto answer = read_welcome(socket);
  if (!answer) return pass_on(answer);
  if (!called || !says_yes(*answer))
    return FabricPath{nullptr, text_of(*answer, "why", "the receiver gave no reason")};
  return FabricPath{std::move(*called), {}};
}

Result<FabricPath> answer_fabric(FrameSocket& socket, const nlohmann::json& hello, const FabricWish& wish,
                                 FabricDomains& domains) {
  const auto provider = hello.find("fabric");
  if (provider == hello.end() || !provider->is_string()) {
    if (auto sent = send_map(socket, FrameType::welcome, nlohmann::json::object()); !sent)
      return pass_on(sent);
    return FabricPath{nullptr, "the source did not ask for it"};
  }
  // Which provider's code listens here is not the source's choice.
  auto listener = wish.use == FabricWish::Use::never ? fail("its own URI allows TCP only")
                  : provider->get_ref<const std::string&>() != wish.provider
                      ? fail("its own URI allows no provider but {}", wish.provider)
                      : FabricListener::open(domains, wish.provider, numeric_address(socket.fd(), End::here));
  if (!listener) {
    const std::string why = "at the receiver, " + listener.error().message;
    if (auto sent = send_map(socket, FrameType::welcome, {{"no_fabric", why}}); !sent) return pass_on(sent);
    return FabricPath{nullptr, why};
  }
  const Key key = random_key<kKeyBytes>();
  const nlohmann::json where = {{"port", listener->port()}, {"key", key}};
  if (auto sent = send_map(socket, FrameType::welcome, {{"fabric", where}}); !sent) return pass_on(sent);
  const auto source_spoke = [&] {
    pollfd spoke{socket.fd(), POLLIN, 0};
    return ::poll(&spoke, 1, 0) > 0;
  };
  const auto until = Clock::now() + kConnect;
  auto connection = listener->accept(fabric_destination_shape(), key, until, source_spoke);
  Result<> sample = !connection   ? pass_on(connection)
                    : *connection ? await_sample(**connection, key, until)
                                  : fail("nobody called");
  socket.set_patience(kOtherTries);
  FrameHead head;
  auto got = socket.receive_head(head);
  if (!got) return pass_on(got);
  if (!*got || head.header.type != FrameType::lane_path)
    return fail("{} sent no lane_path for its lane", socket.peer());
  auto body = socket.receive_body();
  if (!body) return pass_on(body);
  auto word = read_map(*body, socket.peer());
  if (!word) return pass_on(word);
  std::string why;
  // A source whose call was not answered does not know why.
  if (connection && !says_yes(*word)) {
    why = "at the source, " + text_of(*word, "why", "no reason was given");
  } else if (!sample) {
    why = "at the receiver, " + sample.error().message;
  }
  nlohmann::json answer = {{"fabric", why.empty()}};
  if (!why.empty()) answer["why"] = why;
  if (auto sent = send_map(socket, FrameType::welcome, answer); !sent) return pass_on(sent);
  if (!why.empty()) return FabricPath{nullptr, why};
  return FabricPath{std::move(*connection), {}};
}

}  // namespace wherry
