#include "transport/destination/destination_session.h"

#include <utility>

#include "base/start_thread.h"
#include "transport/destination/lane_reader.h"
#include "transport/wire/control.h"

namespace wherry {

DestinationSession::DestinationSession(const Listener& listener, const FabricWish& wish, LandingSite& site,
                                       Account account, Failure& failure, Tracer trace)
    : site_(site),
      account_(std::move(account)),
      failure_(failure),
      trace_(trace),
      slots_(kMostLongBodies),
      word_(site),
      greeter_(
          listener, wish, fabrics_,
          [this](FrameSocket& socket, uint64_t heard) { tell_last_word(socket, heard); }, failure),
      landing_(
          site,
          [this](uint16_t channel, uint64_t sequence) {
            return explained(source_.control->acknowledge(channel, sequence));
          },
          [this](uint16_t channel, uint64_t sequence) {
            trace_("batch_again", {{"channel", channel}, {"sequence", sequence}});
            return explained(
                source_.control->send({.type = FrameType::again, .channel = channel, .sequence = sequence}));
          },
          failure) {}

Result<std::unique_ptr<DestinationSession>> DestinationSession::accept(const Listener& listener,
                                                                       const FabricWish& wish,
                                                                       LandingSite& site, Account account,
                                                                       Failure& failure, Tracer trace) {
  std::unique_ptr<DestinationSession> session(
      new DestinationSession(listener, wish, site, std::move(account), failure, trace));
  if (auto kept = session->word_.reserve(); !kept) return pass_on(kept);
  if (auto greets = session->greeter_.start(); !greets) return pass_on(greets);
  auto source = session->greeter_.await_source();
  if (source) {
    session->source_ = std::move(*source);
    session->trace_lanes();
    return session;
  }
  if (auto error = failure.first()) return tl::make_unexpected(std::move(*error));
  return pass_on(source);
}

void DestinationSession::trace_lanes() const {
  size_t number = 0;
  for (const Greeter::Lane& lane : source_.lanes) {
    trace_("lane_opened", {{"lane", number++},
                           {"peer", lane.receiver->peer()},
                           {"over", lane.no_fabric.empty() ? "rdma" : "tcp"},
                           {"no_rdma", lane.no_fabric}});
  }
}

Result<> DestinationSession::start() {
  closer_ = failure_.on_fail([this] { give_up(); });
  for (size_t lane = 0; lane < source_.lanes.size(); ++lane) {
    auto runs = start_thread(fmt::format("lane {}", lane), [this, lane] { run_lane(lane); });
    if (!runs) return pass_on(runs);
    threads_.push_back(std::move(*runs));
  }
  return source_.control->start([this] { run_control(); });
}

// The session has failed. Must not block.
void DestinationSession::give_up() {
  trace_("failed", {{"why", failure_.first()->message}});
  const LandingSite::Guest guest = word_.give_up();
  const bool not_here = guest == LandingSite::Guest::not_here;
  slots_.close();
  source_.control->give_up(failure_.first()->message, not_here ? kNeverThere : 0);
  for (const Greeter::Lane& lane : source_.lanes) lane.receiver->shut();
  if (not_here) word_.closed();
  if (!word_.may_come_back(guest)) greeter_.stop_listening();
}

DestinationSession::~DestinationSession() {
  word_.stop();
  if (source_.control && source_.control->running()) failure_.fail({"the session was abandoned"});
  greeter_.end();  // shuts connections that it is still busy with, perhaps the control connection
  for (const Greeter::Lane& lane : source_.lanes) lane.receiver->shut();
  for (std::thread& thread : threads_) thread.join();
  if (source_.control) source_.control->join();
}

// The source's connections may be dead, although nothing has shown that here yet.
void DestinationSession::tell_last_word(FrameSocket& socket, uint64_t heard) {
  if (!done_) failure_.fail({"the source has lost its connections, and asks how the migration went"});
  // If telling fails the source asks again.
  auto told = word_.tell(socket, heard, [this] { return account_(nlohmann::json::object()); });
  if (!told) socket.refuse(told.error().message);
}

void DestinationSession::run_lane(size_t number) {
  LaneReceiver& lane = *source_.lanes[number].receiver;
  LaneReader reader(lane, landing_, slots_);
  Error ended = reader.run();
  if (!lane.lost()) {
    failure_.await_cause(kExplanation);
    failure_.fail(std::move(ended));
    return reader.settle();
  }
  reader.settle();
  lose(number, ended);
}

// Called by the lane's own thread, which places nothing any more.
void DestinationSession::lose(size_t lane, const Error& why) {
  if (done_ || failure_.failed()) return;
  landing_.lane_lost();
  trace_("lane_lost", {{"lane", lane}, {"why", why.message}});
  if (++lanes_lost_ == source_.lanes.size()) {
    failure_.await_cause(kExplanation);
    if (!done_) failure_.fail({fmt::format("the last lane was lost: {}", why.message)});
    return;
  }
  site_.lane_lost(lane, why.message);
  // If this fails, the control connection has ended, and its own thread notices that.
  (void)source_.control->send({.type = FrameType::lane_ended, .aux = static_cast<uint32_t>(lane)});
}

void DestinationSession::run_control() {
  Control& control = *source_.control;
  FrameHead head;
  std::vector<uint8_t> body;
  for (;;) {
    auto more = control.receive(head, body);
    if (!more || !*more) word_.source_vanished();
    if (!more) return failure_.fail({fmt::format("control connection: {}", more.error().message)});
    if (!*more)
      return failure_.fail({fmt::format("the Wherry at {} went away (was it killed?)", control.peer())});
    auto go_on = handle(head.header, std::move(body));
    if (!go_on) return failure_.fail(std::move(go_on.error()));
    if (!*go_on) return;
  }
}

// Returns false if that was the last frame.
Result<bool> DestinationSession::handle(const FrameHeader& header, std::vector<uint8_t> body) {
  Result<> done;
  switch (header.type) {
    case FrameType::open:
    case FrameType::record:
    case FrameType::close:
    case FrameType::blocks:
      done = take_frame(header, std::move(body));
      break;
    case FrameType::may_be_there:
      word_.source_holds();
      break;
    case FrameType::lane_lost:
      if (header.aux >= source_.lanes.size())
        return fail("the source says that it lost lane {}, which does not exist", header.aux);
      source_.lanes[header.aux].receiver->shut();
      break;
    case FrameType::failed:
      return fail("the source gave up: {}", peer_text(body));
    case FrameType::done:
      done = take_done(body);
      break;
    default:
      return fail("{} sent a frame `{}` on the control connection", source_.control->peer(),
                  name(header.type));
  }
  if (!done) return pass_on(done);
  return header.type != FrameType::done;
}

Result<> DestinationSession::take_done(std::span<const uint8_t> body) {
  auto map = read_map(body, source_.control->peer());
  if (!map) return pass_on(map);
  if (!landing_.finish()) return fail("the source has finished with channels still open");
  peer_account_ = std::move(*map);
  done_ = true;
  return source_.control->send(FrameType::done, account_(peer_account_));
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
  auto map = read_map(body, source_.control->peer());
  auto blocks = map ? GuestBlocks::from_json(*map) : pass_on(map);
  if (!blocks) return pass_on(blocks);
  GuestPages& guest = landing_.guest();
  if (auto named = guest.name_blocks(*blocks, source_.secret); !named) return named;
  for (const std::span<uint8_t> memory : guest.memory()) {
    for (const Greeter::Lane& lane : source_.lanes) lane.receiver->attach_guest(memory);
  }
  return explained(source_.control->send(FrameType::bases, guest.bases()));
}

// A peer that no longer takes what is sent may have said why, and the control thread may be reading that.
Result<> DestinationSession::explained(Result<> sent) {
  if (!sent) failure_.await_cause(kExplanation);
  return sent;
}

Result<> DestinationSession::send_back(uint16_t channel, std::span<const uint8_t> bytes) {
  if (channel == kMainChannel) word_.said(bytes);
  if (failure_.failed()) return {};
  return explained(source_.control->send({.type = FrameType::reverse, .channel = channel}, bytes));
}

Result<> DestinationSession::close_back(uint16_t channel, bool both_ways) {
  if (channel == kMainChannel) word_.closed();
  if (failure_.failed() || done_) return {};
  return explained(source_.control->send(
      {.type = FrameType::reverse_close, .channel = channel, .aux = both_ways ? kBothWays : 0}));
}

Result<nlohmann::json> DestinationSession::finish() {
  source_.control->join();
  if (auto error = failure_.first()) return tl::make_unexpected(std::move(*error));
  trace_("done");
  return peer_account_;
}

DestinationSession::Totals DestinationSession::totals() const {
  Totals totals;
  totals.wire_bytes = source_.control->bytes_sent();
  totals.landing = landing_.totals();
  for (const Greeter::Lane& lane : source_.lanes)
    totals.lanes.push_back({lane.receiver->peer(), lane.no_fabric, lane.receiver->bytes_written()});
  totals.fabric_trouble = fabrics_.trouble();
  return totals;
}

}  // namespace wherry
