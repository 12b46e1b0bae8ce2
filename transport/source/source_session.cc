#include "transport/source/source_session.h"

#include <poll.h>

#include <algorithm>
#include <map>

#include "base/start_thread.h"
#include "transport/source/dial.h"
#include "transport/source/lane_worker.h"
#include "transport/source/open_lanes.h"
#include "transport/wire/first_frame.h"
#include "transport/wire/last_word.h"

namespace wherry {
namespace {

// The longest that one attempt to ask for the last word may take, and the shortest time between the
// beginnings of two. Each has a new connection: when a link comes back, that works at once, and an old one
// much later.
constexpr std::chrono::milliseconds kAskTimeout{500};
constexpr std::chrono::milliseconds kAskAgain{300};
// The descriptors that asking takes: a connection, and the look-up of its address.
constexpr size_t kAskDescriptors = 3;

}  // namespace

SourceSession::SourceSession(const Options& options, WayBack way_back, Failure& failure)
    : options_(options), way_back_(std::move(way_back)), failure_(failure), outflow_(options) {}

Result<std::unique_ptr<SourceSession>> SourceSession::connect(const Options& options, WayBack way_back,
                                                              Failure& failure) {
  std::unique_ptr<SourceSession> session(new SourceSession(options, std::move(way_back), failure));
  // A wherryd lets only root of a peer begin.
  const SourcePort from = options.route.empty() ? SourcePort::any : SourcePort::privileged;
  auto socket = dial(options.peers.front(), options, kConnectTimeout, failure.event(), from);
  if (!socket) return pass_on(socket);
  auto ends = failure.on_fail([frames = socket->get()] { frames->shut(); });
  const nlohmann::json hello = {{"lanes", options.lanes},
                                {"most_in_flight", kMostInFlight + kMostDiskInFlight},
                                {"route", options.route},
                                {"wishes", options.wishes},
                                {"silence_s", options.silence.count()},
                                {"secret", session->outflow_.history.secret()},
                                {"requires", nlohmann::json::array()}};
  if (auto sent = (*socket)->send({.type = FrameType::hello}, nlohmann::json::to_cbor(hello)); !sent) {
    return pass_on(sent);
  }
  auto welcome = read_welcome(**socket);
  if (!welcome) return pass_on(welcome);
  auto token = member<std::string>(*welcome, "token");
  if (!token) return pass_on(token);
  (*socket)->set_patience({});
  session->token_ = *token;
  ends = {};
  session->control_ = std::make_unique<Control>(std::move(*socket));
  if (auto kept = session->reserve_.keep(kAskDescriptors); !kept) return pass_on(kept);
  auto lanes = open_lanes({.options = options,
                           .token = *token,
                           .fabrics = session->fabrics_,
                           .pool = session->outflow_.pool,
                           .failure = failure});
  if (!lanes) return pass_on(lanes);
  session->lanes_.add(std::move(*lanes));
  session->trace_lanes();
  if (auto started = session->start(); !started) {
    failure.fail(started.error());  // first, because the lanes report their end too
    return pass_on(started);
  }
  return session;
}

Result<> SourceSession::start() {
  outflow_.window.set_round_trip(control_->round_trip());
  outflow_.disk_window.set_round_trip(control_->round_trip());
  tell_chooser();
  if (auto watches = history_watch_.start(); !watches) return watches;
  closer_ = failure_.on_fail([this] {
    options_.trace("failed", {{"why", failure_.first()->message}});
    outflow_.stop();
    control_->give_up(failure_.first()->message, 0);
    lanes_.shut();
  });
  const auto work = [this](std::string name, auto body) -> Result<> {
    auto thread = start_thread(std::move(name), std::move(body));
    if (!thread) return pass_on(thread);
    threads_.push_back(std::move(*thread));
    return {};
  };
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    if (auto runs = work(fmt::format("lane {}", lane), [this, lane] { run_lane(lane); }); !runs) return runs;
    auto waits = work(fmt::format("lane {} watch", lane),
                      [this, lane] { lose(lane, lanes_.sender(lane).await_end()); });
    if (!waits) return waits;
  }
  return control_->start([this] { run_control(); });
}

// What the lanes go over. If the rates of all their ports are known, they are the first guess of what the
// network drains.
void SourceSession::tell_chooser() {
  const auto lanes = lanes_.accounts();
  const bool all_fabric =
      std::all_of(lanes.begin(), lanes.end(), [](const auto& lane) { return lane.no_fabric.empty(); });
  // With verify=on there are digests in front of all pages, and both ends read them.
  if (all_fabric && !options_.compression.verify) outflow_.chooser.raw_is_free();
  std::map<std::pair<std::string, unsigned>, uint64_t> rates;
  for (const LaneRoster::Account& lane : lanes) {
    if (!lane.port || lane.port->rate == 0) return;
    rates[{lane.port->device, lane.port->number}] = lane.port->rate;
  }
  uint64_t all = 0;
  for (const auto& [port, rate] : rates) all += rate;
  outflow_.chooser.expect(static_cast<double>(all));
}

SourceSession::~SourceSession() {
  if (control_ && control_->running()) failure_.fail({"the session was abandoned"});
  outflow_.outbox.stop();
  outflow_.pacer.stop();
  lanes_.shut();
  for (std::thread& thread : threads_) thread.join();
  if (control_) control_->join();
}

std::unique_ptr<SourceChannel> SourceSession::open_channel(ChannelKind kind) {
  uint16_t number = kMainChannel;
  if (kind != ChannelKind::main) {
    number = next_channel_;
    do {
      if (number >= kMaxChannels) return nullptr;
    } while (!next_channel_.compare_exchange_weak(number, number + 1));
  }
  return std::make_unique<SourceChannel>(
      SourceChannel::Session{.outflow = outflow_, .lanes = lanes_, .control = *control_, .failure = failure_},
      number, kind);
}

void SourceSession::trace_lanes() const {
  size_t number = 0;
  for (const LaneRoster::Account& lane : lanes_.accounts()) {
    options_.trace("lane_opened", {{"lane", number++},
                                   {"peer", lane.peer},
                                   {"over", lane.no_fabric.empty() ? "rdma" : "tcp"},
                                   {"no_rdma", lane.no_fabric}});
  }
}

void SourceSession::say_may_have_it() {
  options_.trace("may_be_there");
  // If this fails, the control connection has ended, and its own thread notices that.
  (void)control_->send({.type = FrameType::may_be_there});
}

void SourceSession::run_lane(size_t number) {
  LaneWorker worker(number, lanes_.size(), lanes_.sender(number), outflow_);
  if (auto ended = worker.run(); !ended) lose(number, ended.error());
  over(number, LaneRoster::Side::source);
}

// Called by the first that notices it: the lane's worker, the thread that waits for its end, or the control
// thread.
void SourceSession::lose(size_t number, const Error& why) {
  if (failure_.failed()) return;
  const auto loss = lanes_.lose(number, why.message);
  if (!loss) return;
  options_.trace("lane_lost", {{"lane", number}, {"why", why.message}, {"last", loss->last}});
  outflow_.outbox.end(number);
  if (loss->last) {
    failure_.await_cause(kExplanation);
    if (!lanes_.is_done()) failure_.fail({fmt::format("the last lane was lost: {}", why.message)});
  } else if (!loss->over_there) {
    // If this fails, the control connection has ended, and its own thread notices that.
    (void)control_->send({.type = FrameType::lane_lost, .aux = static_cast<uint32_t>(number)});
  }
}

void SourceSession::over(size_t number, LaneRoster::Side side) {
  if (!lanes_.over(number, side)) return;
  outflow_.outbox.requeue(number);
  options_.trace("lane_over", {{"lane", number}});
}

void SourceSession::run_control() {
  FrameHead head;
  std::vector<uint8_t> body;
  for (;;) {
    auto more = control_->receive(head, body);
    if (!more) return failure_.fail({fmt::format("control connection: {}", more.error().message)});
    if (!*more) {
      return failure_.fail({fmt::format("the Wherry at {} went away (was it killed?)", control_->peer())});
    }
    auto go_on = handle(head, std::move(body));
    if (!go_on) return failure_.fail(std::move(go_on.error()));
    if (!*go_on) return;
  }
}

void SourceSession::acknowledge(Outbox::Acknowledged& acknowledged) {
  const OutFrame& frame = *acknowledged.frame;
  const size_t bytes = acknowledged.room.bytes();
  acknowledged.room.landed();
  if (frame.disk) {
    outflow_.figures.placed_of_disk(bytes);
  } else {
    outflow_.figures.placed(bytes);
  }
  outflow_.history.landed(frame.known);
  if (frame.header.type == FrameType::close) {
    outflow_.window_of(frame.disk ? ChannelKind::disk : ChannelKind::data).close(frame.header.channel);
  }
}

Result<bool> SourceSession::handle(const FrameHead& head, std::vector<uint8_t> body) {
  switch (head.header.type) {
    case FrameType::ack: {
      auto acknowledged = outflow_.outbox.acknowledge(head.header.channel, head.header.sequence);
      if (!acknowledged) return fail("{} acknowledged a frame that was never sent", control_->peer());
      acknowledge(*acknowledged);
      return true;
    }
    case FrameType::reverse:
      if (head.header.channel == kMainChannel) heard_ += body.size();
      way_back_.bytes(head.header.channel, std::move(body));
      return true;
    case FrameType::reverse_close:
      way_back_.closed(head.header.channel, head.header.aux == kBothWays);
      return true;
    case FrameType::again:
      options_.trace("batch_again", {{"channel", head.header.channel}, {"sequence", head.header.sequence}});
      // After a lane was lost, the batch may have been sent again, and acknowledged, before this came.
      if (outflow_.outbox.again(head.header.channel, head.header.sequence) || lanes_.any_lost()) return true;
      return fail("{} asked again for a frame that cannot be sent again", control_->peer());
    case FrameType::lane_ended: {
      const size_t lane = head.header.aux;
      if (lane >= lanes_.size())
        return fail("{} says that it ended lane {}, which does not exist", control_->peer(), lane);
      over(lane, LaneRoster::Side::destination);
      lose(lane, {fmt::format("{} lost it", control_->peer())});
      return true;
    }
    case FrameType::bases: {
      auto map = read_map(body, control_->peer());
      if (!map) return pass_on(map);
      auto blocks = numbers<uint16_t>(*map, "blocks");
      if (!blocks) return pass_on(blocks);
      auto copies = member<uint32_t>(*map, "copies");
      if (!copies) return pass_on(copies);
      if (!outflow_.blocks_sent)
        return fail("{} sent bases before it could know the RAM blocks", control_->peer());
      if (!blocks->empty()) {
        outflow_.history.refer_to(*blocks);
      } else if (*copies > 0) {
        outflow_.history.refer_to_copies(*copies);
      } else {
        outflow_.no_deltas();
      }
      return true;
    }
    case FrameType::failed:
      if (head.header.aux == kNeverThere && way_back_.never_there) way_back_.never_there();
      return fail("the destination gave up: {}", peer_text(body));
    case FrameType::done: {
      auto map = read_map(body, control_->peer());
      if (!map) return pass_on(map);
      peer_account_ = std::move(*map);
      options_.trace("done");
      return false;
    }
    default:
      return fail("{} sent a frame `{}` on the control connection", control_->peer(), name(head.header.type));
  }
}

Result<nlohmann::json> SourceSession::finish(const nlohmann::json& account) {
  if (outflow_.outbox.wait_acknowledged()) {
    lanes_.done();
    options_.trace("all_landed");
    if (auto sent = control_->send(FrameType::done, account); !sent) failure_.fail(std::move(sent.error()));
  }
  control_->join();
  if (auto error = failure_.first()) return tl::make_unexpected(std::move(*error));
  return peer_account_;
}

Result<nlohmann::json> SourceSession::last_word(std::chrono::steady_clock::time_point until,
                                                const Event& cancel) {
  reserve_.release();
  WordAsked asked{
      .token = token_,
      .route = options_.route,
      .heard = heard_,
      .bytes = [this](std::vector<uint8_t> bytes) { way_back_.bytes(kMainChannel, std::move(bytes)); },
      .closed = [this] { way_back_.closed(kMainChannel, true); }};
  for (size_t attempt = 0;; ++attempt) {
    const auto began = std::chrono::steady_clock::now();
    auto socket = dial(options_.peers[attempt % options_.peers.size()], options_, kAskTimeout, cancel);
    auto account = socket ? hear_last_word(**socket, asked, until, cancel) : pass_on(socket);
    options_.trace("last_word", {{"peer", options_.peers[attempt % options_.peers.size()].str()},
                                 {"why_not", account ? "" : account.error().message}});
    if (account) return account;
    // A refused attempt returns at once.
    pollfd cancelled{cancel.fd(), POLLIN, 0};
    const auto next =
        std::chrono::ceil<std::chrono::milliseconds>(began + kAskAgain - std::chrono::steady_clock::now());
    const bool stop = poll(&cancelled, 1, static_cast<int>(std::max<int64_t>(next.count(), 0))) > 0;
    if (stop || std::chrono::steady_clock::now() >= until) return account;
  }
}

SourceSession::Totals SourceSession::totals() const {
  Totals totals;
  totals.lanes = lanes_.accounts();
  totals.wire_bytes = control_->bytes_sent();
  for (const LaneRoster::Account& lane : totals.lanes) totals.wire_bytes += lane.bytes;
  totals.guest_bytes = outflow_.figures.guest_bytes();
  totals.disk_bytes = outflow_.figures.disk_bytes();
  totals.pages = outflow_.figures.pages();
  totals.placed = outflow_.figures.last_placed();
  totals.history_bytes = outflow_.history.bytes();
  totals.history_budget = outflow_.history.budget();
  totals.window = outflow_.window.state();
  totals.encoding = outflow_.chooser.describe();
  totals.link_rate = outflow_.chooser.rate();
  totals.link_measured = outflow_.chooser.knows_rate();
  totals.landing = outflow_.chooser.landing_rate();
  totals.round_trip = control_->round_trip();
  const uint64_t on_way = outflow_.pacer.debt() + lanes_.bytes_on_way();
  if (totals.link_rate > 0) totals.on_way += static_cast<double>(on_way) / totals.link_rate;
  if (totals.landing > 0)
    totals.on_way += static_cast<double>(outflow_.outbox.bytes_to_encode()) / totals.landing;
  return totals;
}

}  // namespace wherry
