#include "transport/destination/greeter.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/random_key.h"
#include "base/start_thread.h"
#include "transport/fabric/fabric_handshake.h"
#include "transport/fabric/fabric_lane_receiver.h"
#include "transport/lane/tcp_lane.h"
#include "transport/socket/socket.h"
#include "transport/wire/first_frame.h"

namespace wherry {
namespace {

constexpr size_t kMostLanes = 64;
// Callers that are greeted at one time, a source's own among them. Others are hung up on at once.
constexpr size_t kMostCallers = 256;
static_assert(kMostCallers > 2 * kMostLanes);
// How long a peer may be silent until its hello says so.
constexpr std::chrono::seconds kSilence{30};

std::string make_token() {
  return fmt::format("{:02x}", fmt::join(random_key<16>(), ""));
}

// In time that does not depend on where they differ.
bool same_token(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

Greeter::Greeter(const Listener& listener, FabricWish wish, FabricDomains& fabrics, ComesBack comes_back,
                 Failure& failure)
    : listener_(listener),
      wish_(std::move(wish)),
      fabrics_(fabrics),
      comes_back_(std::move(comes_back)),
      failure_(failure),
      token_(make_token()),
      callers_(std::in_place, kMostCallers) {}

Result<> Greeter::start() {
  auto greets = start_thread([this] { run(); });
  if (!greets) return pass_on(greets);
  thread_ = std::move(*greets);
  return {};
}

void Greeter::end() {
  listener_.stop();
  if (callers_) callers_->shut();
  if (thread_.joinable()) thread_.join();
  callers_.reset();
}

Result<Greeter::Source> Greeter::await_source() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closed_ || stage_ == Stage::complete; });
  if (stage_ == Stage::complete) return std::exchange(source_, {});
  return tl::make_unexpected(*closed_);
}

// Also while the session runs, so that whoever comes then is told that it is complete; and after it has
// failed, for as long as the VMM's word is awaited or kept. Nobody needs those callers, so they may have to
// wait for room. A source must not wait for it.
void Greeter::run() {
  for (;;) {
    auto fd = listener_.accept(kSilence);
    auto served = fd ? callers_->serve(std::move(*fd), [this](Fd to) { greet(std::move(to)); }) : pass_on(fd);
    if (served) continue;
    const bool stopped = listener_.stopped();
    {
      std::lock_guard lock(mutex_);
      if (stopped || stage_ != Stage::complete) closed_ = served.error();
    }
    if (!closed_) {
      listener_.back_off();
      continue;
    }
    if (!stopped) failure_.fail(*closed_);  // ahead of what a source in this process says of its connection
    return changed_.notify_all();
  }
}

// By its first frame. A caller that is not heard out is forgotten, and may come again.
void Greeter::greet(Fd connection) {
  const std::string name = peer_address(connection.get());
  auto socket = std::make_unique<FrameSocket>(std::move(connection), name);
  socket->set_patience(kFirstFramePatience);
  FrameHead head;
  auto got = socket->receive_head(head);
  if (!got) return socket->refuse(got.error().message);
  using Greet = void (Greeter::*)(std::unique_ptr<FrameSocket>, const nlohmann::json&);
  const Greet greet = !*got                                       ? nullptr
                      : head.header.type == FrameType::hello      ? &Greeter::greet_control
                      : head.header.type == FrameType::lane_hello ? &Greeter::greet_lane
                      : head.header.type == FrameType::last_word  ? &Greeter::greet_who_comes_back
                                                                  : nullptr;
  if (!greet) return socket->refuse("a session begins with a hello");
  auto body = socket->receive_body();
  auto hello = body ? read_map(*body, socket->peer()) : pass_on(body);
  if (!hello) return socket->refuse(hello.error().message);
  (this->*greet)(std::move(socket), *hello);
}

void Greeter::greet_control(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello) {
  Source dead;  // closed after the lock is released: that may take a minute
  std::lock_guard lock(mutex_);
  if (stage_ == Stage::gathering && source_.control->gone()) {
    dead = std::exchange(source_, {});  // it left before its lanes came
    opening_.clear();
    token_ = make_token();
    stage_ = Stage::waiting;
  }
  if (stage_ != Stage::waiting) return socket->refuse("this receiver is busy with another migration");
  auto lanes = member<uint32_t>(hello, "lanes");
  auto silence = member<uint32_t>(hello, "silence_s");
  if (!lanes || *lanes == 0 || *lanes > kMostLanes || !silence || *silence == 0 || *silence > 3600)
    return socket->refuse("the hello lacks a sound number of lanes or seconds of silence");
  for (const nlohmann::json& capability : hello.value("requires", nlohmann::json::array())) {
    constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
    const std::string name =
        capability.is_string() ? capability.get<std::string>() : capability.dump(-1, ' ', true, kReplace);
    return socket->refuse(
        fmt::format("this Wherry lacks the required capability \"{}\"; update it", name.substr(0, 200)));
  }
  if (!socket->send({.type = FrameType::welcome}, nlohmann::json::to_cbor({{"token", token_}}))) return;
  stage_ = Stage::gathering;
  source_.silence = std::chrono::seconds(*silence);
  tune_tcp(socket->fd(), source_.silence);
  socket->set_patience({});
  source_.control = std::make_unique<Control>(std::move(socket));
  source_.lanes.resize(*lanes);
  if (auto wishes = hello.find("wishes"); wishes != hello.end() && wishes->is_object())
    source_.wishes = *wishes;
}

void Greeter::greet_lane(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello) {
  auto token = member<std::string>(hello, "token");
  auto number = member<uint32_t>(hello, "lane");
  {
    std::lock_guard lock(mutex_);
    if (!token || stage_ == Stage::waiting || !same_token(*token, token_))
      return socket->refuse("the lane token is not that of a session here");
    if (!number || stage_ == Stage::complete || *number >= source_.lanes.size() ||
        source_.lanes[*number].receiver || !opening_.insert(*number).second)
      return socket->refuse("the session has no such lane, or has it already");
  }
  auto path = answer_fabric(*socket, hello, wish_, fabrics_);
  std::lock_guard lock(mutex_);
  if (*token != token_) return;  // its source has left meanwhile, and made room for another
  opening_.erase(*number);
  // A source that gives up for want of a fabric leaves room for the next.
  const auto only = hello.find("fabric_only");
  if (!path || (!path->connection && only != hello.end() && *only == true)) return;
  socket->set_patience({});
  Lane& lane = source_.lanes[*number];
  if (path->connection) {
    path->connection->adopt(std::move(socket), source_.silence);
    lane.receiver = std::make_unique<FabricLaneReceiver>(std::move(path->connection));
  } else {
    lane.receiver = std::make_unique<TcpLaneReceiver>(std::move(socket));
    lane.no_fabric = path->why_not;
  }
  const bool complete = std::all_of(source_.lanes.begin(), source_.lanes.end(),
                                    [](const Lane& each) { return each.receiver != nullptr; });
  if (!complete) return;
  stage_ = Stage::complete;
  changed_.notify_all();
}

void Greeter::greet_who_comes_back(std::unique_ptr<FrameSocket> socket, const nlohmann::json& question) {
  auto token = member<std::string>(question, "token");
  auto heard = member<uint64_t>(question, "heard");
  {
    std::lock_guard lock(mutex_);
    if (!token || !heard || stage_ != Stage::complete || !same_token(*token, token_))
      return socket->refuse("the token is not that of a session here");
  }
  comes_back_(*socket, *heard);
}

}  // namespace wherry
