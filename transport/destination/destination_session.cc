#include "transport/destination/destination_session.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/random_key.h"
#include "base/start_thread.h"
#include "transport/destination/lane_reader.h"
#include "transport/fabric/fabric_handshake.h"
#include "transport/fabric/fabric_lane.h"
#include "transport/lane/tcp_lane.h"
#include "transport/socket/socket.h"
#include "transport/wire/first_frame.h"

namespace wherry {
namespace {

constexpr size_t kMostLanes = 64;
// Those that are being heard, a source's own among them. Others are closed at once.
constexpr size_t kMostCallers = 256;
static_assert(kMostCallers > 2 * kMostLanes);
// Within which a source asks again whose connections were lost: see SourceSession::last_word().
constexpr std::chrono::seconds kComesBack{2};
// What it takes to be told: see Connections.
constexpr size_t kTellDescriptors = 2;
// Until the hello says how long a silent peer is to be borne.
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

DestinationSession::DestinationSession(const Listener& listener, LandingSite& site, Account account,
                                       Failure& failure)
    : listener_(listener),
      site_(site),
      account_(std::move(account)),
      failure_(failure),
      pool_(kMostLongBodies),
      token_(make_token()),
      landing_(
          site,
          [this](uint16_t channel, uint64_t sequence) {
            return explained(control_->acknowledge(channel, sequence));
          },
          [this](uint16_t channel, uint64_t sequence) {
            return explained(
                control_->send({.type = FrameType::again, .channel = channel, .sequence = sequence}));
          },
          failure),
      callers_(std::in_place, kMostCallers) {}

Result<std::unique_ptr<DestinationSession>> DestinationSession::accept(const Listener& listener,
                                                                       LandingSite& site, Account account,
                                                                       Failure& failure) {
  std::unique_ptr<DestinationSession> session(
      new DestinationSession(listener, site, std::move(account), failure));
  if (auto kept = session->reserve_.keep(kTellDescriptors); !kept) return pass_on(kept);
  auto greets = start_thread([&greeting = *session] { greeting.greet_callers(); });
  if (!greets) return pass_on(greets);
  session->greeter_ = std::move(*greets);
  std::unique_lock lock(session->greeting_);
  session->greeted_.wait(lock, [&] { return session->closed_ || !session->lanes_missing(); });
  if (!session->lanes_missing()) return session;
  if (auto error = failure.first()) return tl::make_unexpected(std::move(*error));
  return tl::make_unexpected(*session->closed_);
}

// While the session runs as well: whoever comes then, with or without a token, is told that it is complete.
// And when it has failed, as long as the VMM's word is awaited or kept. Nobody of these is needed, so they
// may have to wait for room; a source that there is no room for must not.
void DestinationSession::greet_callers() {
  for (;;) {
    auto fd = listener_.accept(kSilence);
    auto served = fd ? callers_->serve(std::move(*fd), [this](Fd to) { greet(std::move(to)); }) : pass_on(fd);
    if (served) continue;
    const bool stopped = listener_.stopped();
    {
      std::lock_guard lock(greeting_);
      if (stopped || lanes_missing()) closed_ = served.error();
    }
    if (!closed_) {
      listener_.back_off();
      continue;
    }
    if (!stopped) failure_.fail(*closed_);  // ahead of what a source in this process says of its connection
    return greeted_.notify_all();
  }
}

// By its first frame. Who is not heard out is forgotten, and may come again.
void DestinationSession::greet(Fd connection) {
  const std::string name = peer_address(connection.get());
  auto socket = std::make_unique<FrameSocket>(std::move(connection), name);
  socket->set_patience(kFirstFramePatience);
  FrameHead head;
  auto got = socket->receive_head(head);
  if (!got) return socket->refuse(got.error().message);
  using Greet = void (DestinationSession::*)(std::unique_ptr<FrameSocket>, const nlohmann::json&);
  const Greet greet = !*got                                       ? nullptr
                      : head.header.type == FrameType::hello      ? &DestinationSession::greet_control
                      : head.header.type == FrameType::lane_hello ? &DestinationSession::greet_lane
                      : head.header.type == FrameType::last_word  ? &DestinationSession::greet_asking
                                                                  : nullptr;
  if (!greet) return socket->refuse("a session begins with a hello");
  auto body = socket->receive_body();
  auto hello = body ? read_map(*body, socket->peer()) : pass_on(body);
  if (!hello) return socket->refuse(hello.error().message);
  (this->*greet)(std::move(socket), *hello);
}

void DestinationSession::greet_control(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello) {
  std::vector<Lane> dead;  // closed when nobody waits for the lock: that may take a minute
  std::lock_guard lock(greeting_);
  if (control_ && lanes_missing() && control_->gone()) {
    control_.reset();  // that source died before its lanes came
    dead.swap(lanes_);
    token_ = make_token();
  }
  if (control_) return socket->refuse("this receiver is busy with another migration");
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
  silence_ = std::chrono::seconds(*silence);
  tune_tcp(socket->fd(), silence_);
  socket->set_patience({});
  control_ = std::make_unique<Control>(std::move(socket));
  lanes_.resize(*lanes);
  if (auto wishes = hello.find("wishes"); wishes != hello.end() && wishes->is_object()) wishes_ = *wishes;
}

void DestinationSession::greet_lane(std::unique_ptr<FrameSocket> socket, const nlohmann::json& hello) {
  auto token = member<std::string>(hello, "token");
  auto number = member<uint32_t>(hello, "lane");
  {
    std::lock_guard lock(greeting_);
    if (!token || !control_ || !same_token(*token, token_))
      return socket->refuse("the lane token is not that of a session here");
    if (!number || *number >= lanes_.size() || lanes_[*number].opening || lanes_[*number].receiver)
      return socket->refuse("the session has no such lane, or has it already");
    lanes_[*number].opening = true;
  }
  auto path = answer_fabric(*socket, hello, fabrics_, pool_);
  std::lock_guard lock(greeting_);
  if (*token != token_) return;  // its source has died meanwhile, and made room for another
  Lane& lane = lanes_[*number];
  lane.opening = false;
  // A source that gives up for want of a fabric leaves room for the next.
  const auto only = hello.find("fabric_only");
  if (!path || (!path->connection && only != hello.end() && *only == true)) return;
  socket->set_patience({});
  if (path->connection) {
    path->connection->adopt(std::move(socket), silence_);
    lane.receiver = std::make_unique<FabricLaneReceiver>(std::move(path->connection));
  } else {
    lane.receiver = std::make_unique<TcpLaneReceiver>(std::move(socket));
    lane.no_fabric = path->why_not;
  }
  lane.receiver->attach(pool_.memory());
  greeted_.notify_all();
}

// The source's connections may be gone without a sign here yet.
void DestinationSession::greet_asking(std::unique_ptr<FrameSocket> socket, const nlohmann::json& question) {
  auto token = member<std::string>(question, "token");
  auto heard = member<uint64_t>(question, "heard");
  {
    std::lock_guard lock(greeting_);
    if (!token || !heard || lanes_missing() || !same_token(*token, token_))
      return socket->refuse("the token is not that of a session here");
  }
  if (!done_) failure_.fail({"the source has lost its connections, and asks how the migration went"});
  // What ends it is the source's to mend: it asks again.
  const auto account = [this] { return account_(nlohmann::json::object()); };
  if (auto told = word_.tell(*socket, *heard, account); !told) socket->refuse(told.error().message);
}

// Called with the lock held.
bool DestinationSession::lanes_missing() const {
  return lanes_.empty() ||
         std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.receiver; });
}

Result<> DestinationSession::start() {
  closer_ = failure_.on_fail([this] {
    reserve_.release();
    const LandingSite::Guest guest = site_.give_up();
    const bool not_here = guest == LandingSite::Guest::not_here;
    pool_.close();
    control_->give_up(failure_.first()->message, not_here ? kNeverThere : 0);
    for (const Lane& lane : lanes_) lane.receiver->shut();
    if (not_here) word_.closed();
    if (guest != LandingSite::Guest::may_be_here && !source_holds_ && !source_vanished_) listener_.stop();
  });
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    auto runs = start_thread([this, lane] { run_lane(lane); });
    if (!runs) return pass_on(runs);
    threads_.push_back(std::move(*runs));
  }
  return control_->start([this] { run_control(); });
}

DestinationSession::~DestinationSession() {
  listener_.stop();
  word_.stop();
  callers_->shut();
  if (greeter_.joinable()) greeter_.join();
  callers_.reset();
  if (control_ && control_->running()) failure_.fail({"the session was abandoned"});
  for (const Lane& lane : lanes_) {
    if (lane.receiver) lane.receiver->shut();
  }
  for (std::thread& thread : threads_) thread.join();
  if (control_) control_->join();
}

void DestinationSession::run_lane(size_t number) {
  LaneReceiver& lane = *lanes_[number].receiver;
  LaneReader reader(lane, landing_, pool_);
  Error ended = reader.run();
  if (!lane.lost()) {
    failure_.await_cause(kExplanation);
    failure_.fail(std::move(ended));
    return reader.settle();
  }
  reader.settle();
  lose(number, ended);
}

// By the lane's own thread, which places nothing any more.
void DestinationSession::lose(size_t lane, const Error& why) {
  if (done_ || failure_.failed()) return;
  landing_.lane_lost();
  if (++lanes_lost_ == lanes_.size()) {
    failure_.await_cause(kExplanation);
    if (!done_) failure_.fail({fmt::format("the last lane was lost: {}", why.message)});
    return;
  }
  site_.lane_lost(lane, why.message);
  // If this fails, the control connection has ended, which its own thread finds.
  (void)control_->send({.type = FrameType::lane_ended, .aux = static_cast<uint32_t>(lane)});
}

void DestinationSession::run_control() {
  FrameHead head;
  std::vector<uint8_t> body;
  for (;;) {
    auto more = control_->receive(head, body);
    if (!more || !*more) source_vanished_ = true;
    if (!more) return failure_.fail({fmt::format("control connection: {}", more.error().message)});
    if (!*more)
      return failure_.fail({fmt::format("the Wherry at {} went away (was it killed?)", control_->peer())});
    switch (head.header.type) {
      case FrameType::open:
      case FrameType::record:
      case FrameType::close:
      case FrameType::blocks:
        if (auto taken = take_frame(head.header, std::move(body)); !taken)
          return failure_.fail(std::move(taken.error()));
        break;
      case FrameType::may_be_there:
        source_holds_ = true;
        break;
      case FrameType::lane_lost:
        if (head.header.aux >= lanes_.size())
          return failure_.fail({fmt::format("the source lost lane {}, which is none", head.header.aux)});
        lanes_[head.header.aux].receiver->shut();
        break;
      case FrameType::failed:
        return failure_.fail({fmt::format("the source gave up: {}", peer_text(body))});
      case FrameType::done: {
        auto map = read_map(body, control_->peer());
        if (!map) return failure_.fail(std::move(map.error()));
        if (!landing_.all_closed()) return failure_.fail({"the source took leave with channels still open"});
        peer_account_ = std::move(*map);
        done_ = true;
        if (auto sent = control_->send(FrameType::done, account_(peer_account_)); !sent)
          failure_.fail(std::move(sent.error()));
        return;
      }
      default:
        return failure_.fail({fmt::format("{} sent a frame of type {} on the control connection",
                                          control_->peer(), static_cast<int>(head.header.type))});
    }
  }
}

Result<> DestinationSession::take_frame(const FrameHeader& header, std::vector<uint8_t> body) {
  auto berth = landing_.claim(header);
  if (!berth) return pass_on(berth);
  if (!*berth) return {};
  if (header.type == FrameType::blocks) {
    if (auto taken = take_blocks(body); !taken) return taken;
  }
  berth->give(std::move(body));
  return std::move(*berth).arrive();
}

Result<> DestinationSession::take_blocks(std::span<const uint8_t> body) {
  auto map = read_map(body, control_->peer());
  auto blocks = map ? GuestBlocks::from_json(*map) : pass_on(map);
  if (!blocks) return pass_on(blocks);
  GuestPages& guest = landing_.guest();
  if (auto named = guest.name_blocks(*blocks); !named) return named;
  for (const std::span<uint8_t> memory : guest.memory()) {
    for (const Lane& lane : lanes_) lane.receiver->attach_guest(memory);
  }
  return explained(control_->send(FrameType::bases, guest.bases()));
}

// A peer that no longer takes what we send has said why, perhaps, and that is being read.
Result<> DestinationSession::explained(Result<> sent) {
  if (!sent) failure_.await_cause(kExplanation);
  return sent;
}

Result<> DestinationSession::send_back(uint16_t channel, std::span<const uint8_t> bytes) {
  if (channel == kMainChannel) word_.said(bytes);
  if (failure_.failed()) return {};
  return explained(control_->send({.type = FrameType::reverse, .channel = channel}, bytes));
}

Result<> DestinationSession::close_back(uint16_t channel, bool both_ways) {
  if (channel == kMainChannel) word_.closed();
  if (failure_.failed() || done_) return {};
  return explained(control_->send(
      {.type = FrameType::reverse_close, .channel = channel, .aux = both_ways ? kBothWays : 0}));
}

// A source that vanished may have begun to hold on just then, and comes back soon, if at all.
bool DestinationSession::keep_word() {
  const auto until = std::chrono::steady_clock::now() + silence_;
  LandingSite::Guest guest = site_.give_up();
  if (guest == LandingSite::Guest::may_be_here) {
    word_.wait_closed(until);
    guest = site_.give_up();
  }
  const bool holds = source_holds_ && guest != LandingSite::Guest::in_part;
  if (guest == LandingSite::Guest::may_be_here || holds) return word_.wait_told(until);
  if (!source_vanished_ && !word_.asked()) return false;
  return word_.wait_told(std::min(until, std::chrono::steady_clock::now() + kComesBack)) ||
         (word_.asked() && word_.wait_told(until));
}

Result<nlohmann::json> DestinationSession::finish() {
  control_->join();
  if (auto error = failure_.first()) return tl::make_unexpected(std::move(*error));
  return peer_account_;
}

DestinationSession::Totals DestinationSession::totals() const {
  Totals totals;
  totals.wire_bytes = control_->bytes_sent();
  totals.landing = landing_.totals();
  for (const Lane& lane : lanes_)
    totals.lanes.push_back({lane.receiver->peer(), lane.no_fabric, lane.receiver->bytes_written()});
  totals.fabric_trouble = fabrics_.trouble();
  return totals;
}

}  // namespace wherry
