#include "transport/destination/greeter.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/printable.h"
#include "base/random_key.h"
#include "base/start_thread.h"
#include "transport/fabric/fabric_handshake.h"
#include "transport/fabric/fabric_lane_receiver.h"
#include "transport/lane/tcp_lane.h"
#include "transport/socket/socket.h"
#include "transport/wire/bounds.h"
#include "transport/wire/first_frame.h"

namespace wherry {
namespace {

// How long a peer can be silent before its hello has set another limit.
constexpr std::chrono::seconds kSilence{30};

std::string make_token() {
  return fmt::format("{:02x}", fmt::join(random_key<16>(), ""));
}

// Takes the same time wherever they differ.
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
      callers_(std::in_place, "caller", kMostCallers) {}

Result<> Greeter::start() {
  auto greets = start_thread("greeter", [this] { run(); });
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
  Lock lock(mutex_);
  while (!closed_ && stage_ != Stage::complete) changed_.wait(mutex_);
  if (stage_ == Stage::complete) return std::exchange(source_, {});
  return tl::make_unexpected(*closed_);
}

// Goes on while the session runs, so that a late caller is told that this receiver is busy, and after it has
// failed, as long as the VMM's last word is awaited or kept. Such a caller can wait for a descriptor or a
// thread. A source cannot, so until it is complete the lack of one is an error.
void Greeter::run() {
  for (;;) {
    auto fd = listener_.accept(kSilence);
    auto served = fd ? callers_->serve(std::move(*fd), [this](Fd to) { greet(std::move(to)); }) : pass_on(fd);
    if (served) continue;
    const bool stopped = listener_.stopped();
    bool closed = false;
    {
      Lock lock(mutex_);
      closed = stopped || stage_ != Stage::complete;
      if (closed) closed_ = served.error();
    }
    if (!closed) {
      listener_.back_off();
      continue;
    }
    // Now, so that a source in this process does not report its lost connection as the first error.
    if (!stopped) failure_.fail(served.error());
    return changed_.notify_all();
  }
}

// By its first frame, for which it has a fixed time and size, as at wherryd's port. A caller that leaves in
// the middle is forgotten, and can come again.
void Greeter::greet(Fd connection) {
  const std::string name = peer_address(connection.get());
  const auto first = peek_first_frame(connection.get(), name, kFirstFramePatience);
  auto socket = std::make_unique<FrameSocket>(std::move(connection), name);
  socket->set_patience(kFirstFramePatience);
  if (!first) return socket->refuse(first.error().message);
  using Greet = void (Greeter::*)(std::unique_ptr<FrameSocket>, const nlohmann::json&);
  const Greet greet = first->type == FrameType::hello        ? &Greeter::greet_control
                      : first->type == FrameType::lane_hello ? &Greeter::greet_lane
                      : first->type == FrameType::last_word  ? &Greeter::greet_who_comes_back
                                                             : nullptr;
  if (!greet) return socket->refuse("a session begins with a hello");
  FrameHead head;
  if (socket->receive_head(head) && socket->receive_body()) (this->*greet)(std::move(socket), first->body);
}

void Greeter::greet_control(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello) {
  Source dead;  // closed after the lock is released: that may take a minute
  Lock lock(mutex_);
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
    return socket->refuse("the hello has no valid \"lanes\" (1 to 64) and \"silence_s\" (1 to 3600)");
  auto secret = numbers<uint8_t>(hello, "secret");
  if (!secret || secret->size() != kSecretBytes)
    return socket->refuse(fmt::format("the hello has no valid \"secret\" ({} bytes)", kSecretBytes));
  for (const nlohmann::json& capability : hello.value("requires", nlohmann::json::array())) {
    constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
    const std::string name =
        capability.is_string() ? capability.get<std::string>() : capability.dump(-1, ' ', true, kReplace);
    return socket->refuse(
        fmt::format("this Wherry lacks the required capability \"{}\"; update it", printable(name, 200)));
  }
  if (!socket->send({.type = FrameType::welcome}, nlohmann::json::to_cbor({{"token", token_}}))) return;
  stage_ = Stage::gathering;
  source_.silence = std::chrono::seconds(*silence);
  std::copy(secret->begin(), secret->end(), source_.secret.begin());
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
    Lock lock(mutex_);
    if (!token || stage_ == Stage::waiting || !same_token(*token, token_))
      return socket->refuse("the lane token is not that of a session here");
    if (!number || stage_ == Stage::complete || *number >= source_.lanes.size() ||
        source_.lanes[*number].receiver || !opening_.insert(*number).second)
      return socket->refuse("the session has no such lane, or has it already");
  }
  auto path = answer_fabric(*socket, hello, wish_, fabrics_);
  Lock lock(mutex_);
  if (*token != token_) return;  // its source has left meanwhile, and another has come
  opening_.erase(*number);
  // A source that wants nothing but a fabric gives up now. Without this lane it is never complete, so the
  // next source has room.
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
    Lock lock(mutex_);
    if (!token || !heard || stage_ != Stage::complete || !same_token(*token, token_))
      return socket->refuse("the token is not that of a session here");
  }
  comes_back_(*socket, *heard);
}

}  // namespace wherry
