#include "transport/source/source_session.h"

#include <poll.h>

#include <algorithm>
#include <map>

#include "transport/flow/encoding_time.h"
#include "transport/flow/idle_processors.h"
#include "transport/fabric/fabric_handshake.h"
#include "transport/fabric/fabric_lane.h"
#include "transport/wire/first_frame.h"
#include "transport/wire/last_word.h"
#include "base/start_thread.h"
#include "transport/socket/connect.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

// The most bytes ever in flight. At the usual downtime target it is reached at 15 GB/s.
constexpr size_t kMostInFlight = 128 * 1024 * 1024;
constexpr size_t kMostDiskInFlight = 32 * 1024 * 1024;
constexpr std::chrono::seconds kConnectTimeout{10};
// For one attempt to ask for the last word, and between two: a link that comes back shows to a fresh
// connection at once, to an old one late.
constexpr std::chrono::milliseconds kAskTimeout{500};
constexpr std::chrono::milliseconds kAskAgain{300};
// What asking takes: a connection, and looking up its address.
constexpr size_t kAskDescriptors = 3;
// Records are compressed at a level that costs next to nothing.
constexpr int kRecordLevel = 1;
constexpr size_t kLongRecord = 1024;

// Slots for the largest flight, and for each channel one being filled and one half-way acknowledged.
constexpr size_t kSourceSlots = (kMostInFlight + kMostDiskInFlight) / kBatchBytes + 2 * kMaxChannels;

Result<std::unique_ptr<FrameSocket>> dial(const Endpoint& peer, const SourceSession::Options& options,
                                          std::chrono::milliseconds timeout, const Event& cancel) {
  auto socket = connect_to(peer, timeout, options.silence, &cancel);
  if (!socket) {
    return fail("{} (does `{}` run there?)", socket.error().message,
                options.route.empty() ? "wherry receive" : "wherryd");
  }
  auto frames = std::make_unique<FrameSocket>(std::move(*socket), peer.str());
  frames->set_patience(timeout);
  return frames;
}

}  // namespace

FlightWindow& SourceChannel::window() const {
  return kind_ == ChannelKind::disk ? session_.disk_window_ : session_.window_;
}

size_t SourceChannel::take_room(size_t want, bool wait) {
  return wait ? window().take(number_, want) : window().try_take(number_, want);
}

size_t SourceChannel::batch_bytes() const {
  return window().batch_bytes();
}

void SourceChannel::give_back(size_t bytes) {
  window().give_back(number_, bytes);
}

void SourceChannel::record(std::span<const uint8_t> bytes, Slot memory, uint16_t flags, uint32_t aux,
                           size_t charge) {
  OutFrame frame;
  frame.bytes = bytes;
  frame.slot = std::move(memory);
  send_record(std::move(frame), flags, aux, charge);
}

void SourceChannel::record(std::vector<uint8_t> bytes, uint16_t flags, uint32_t aux, size_t charge) {
  OutFrame frame;
  frame.owned = std::move(bytes);
  frame.bytes = frame.owned;
  send_record(std::move(frame), flags, aux, charge);
}

void SourceChannel::send_record(OutFrame frame, uint16_t flags, uint32_t aux, size_t charge) {
  frame.header.type = FrameType::record;
  frame.header.flags = flags;
  frame.header.aux = aux;
  frame.charge = charge;
  if (flags & kPagesDone) pages_done_ = true;
  if (flags & kOpaque && !pages_done_) session_.lose_order();
  send(std::move(frame));
  if (flags & kEpochEnd) ++epoch_;
}

void SourceChannel::pages(PageBatch batch, Slot memory, size_t charge) {
  if (session_.failure_.failed()) return;  // what was read already goes nowhere, and counts for nothing
  session_.guest_bytes_ += batch.bytes();
  OutFrame frame;
  frame.header.type = FrameType::batch;
  frame.header.pages = batch.page_count();
  frame.pages = std::move(batch);
  frame.slot = std::move(memory);
  frame.charge = charge;
  send(std::move(frame));
}

void SourceChannel::blocks(const GuestBlocks& blocks) {
  session_.history_.set_space(blocks.space());
  session_.blocks_sent_ = true;
  if (!blocks.relay_because.empty()) session_.lose_order();
  OutFrame frame;
  frame.header.type = FrameType::blocks;
  frame.owned = nlohmann::json::to_cbor(blocks.to_json());
  frame.bytes = frame.owned;
  send(std::move(frame));
}

bool SourceChannel::lanes_busy(std::chrono::microseconds wait) const {
  return session_.outbox_.lanes_busy() || session_.network_busy(wait);
}

void SourceChannel::close(bool both_ways) {
  OutFrame frame;
  frame.header.type = FrameType::close;
  frame.header.aux = both_ways ? kBothWays : 0;
  send(std::move(frame));
}

void SourceChannel::await_landed() {
  (void)session_.outbox_.wait_acknowledged(number_, sequence_ - 1);
}

void SourceChannel::send(OutFrame frame) {
  frame.header.channel = number_;
  frame.header.epoch = epoch_;
  frame.header.sequence = sequence_++;
  frame.disk = kind_ == ChannelKind::disk;
  // No batch can be read without the blocks, so they may not be lost with a lane.
  const bool on_lane = kind_ != ChannelKind::urgent && frame.header.type != FrameType::blocks;
  if (on_lane) return session_.outbox_.push(std::move(frame));
  // Held here as well: the acknowledgement may come before the call that sends it returns.
  const Outbox::Frame kept = session_.outbox_.keep(std::move(frame));
  if (auto sent = session_.control_->send(kept->header, kept->bytes); !sent)
    session_.failure_.fail(std::move(sent.error()));
}

SourceSession::SourceSession(const Options& options, WayBack way_back, Failure& failure)
    : options_(options),
      way_back_(std::move(way_back)),
      failure_(failure),
      pool_(kSourceSlots),
      window_({.lanes = options.lanes, .downtime = options.downtime, .cap = kMostInFlight}),
      disk_window_({.lanes = options.lanes, .downtime = options.downtime, .cap = kMostDiskInFlight}),
      pacer_(static_cast<double>(options.bandwidth)),
      history_(options.compression.history),
      chooser_(options.compression, options.lanes, idle_processors) {}

Result<std::unique_ptr<SourceSession>> SourceSession::connect(const Options& options, WayBack way_back,
                                                              Failure& failure) {
  std::unique_ptr<SourceSession> session(new SourceSession(options, std::move(way_back), failure));
  session->no_fabric_ = why_no_fabric(options.fabric);
  auto socket = dial(options.peers.front(), options, kConnectTimeout, failure.event());
  if (!socket) return pass_on(socket);
  auto ends = failure.on_fail([frames = socket->get()] { frames->shut(); });
  const nlohmann::json hello = {{"lanes", options.lanes},
                                {"most_in_flight", kMostInFlight + kMostDiskInFlight},
                                {"route", options.route},
                                {"wishes", options.wishes},
                                {"silence_s", options.silence.count()},
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
  if (auto lanes = session->open_lanes(options, *token); !lanes) return pass_on(lanes);
  if (auto started = session->start(); !started) {
    failure.fail(started.error());  // ahead of what its lanes say of their end
    return pass_on(started);
  }
  return session;
}

Result<SourceSession::Lane> SourceSession::open_lane(size_t number, const Options& options,
                                                     const std::string& token) {
  auto socket =
      dial(options.peers[number % options.peers.size()], options, kConnectTimeout, failure_.event());
  if (!socket) return pass_on(socket);
  auto ends = failure_.on_fail([frames = socket->get()] { frames->shut(); });
  nlohmann::json hello = {{"token", token}, {"lane", number}, {"route", options.route}};
  FabricPath path{nullptr, no_fabric_};
  if (path.why_not.empty()) {
    if (auto found = find_fabric(**socket, options.fabric); !found) path.why_not = found.error().message;
  }
  const bool asks = path.why_not.empty();
  if (asks) hello["fabric"] = options.fabric.provider;
  const bool required = options.fabric.use == FabricWish::Use::require;
  if (required) hello["fabric_only"] = true;
  if (auto sent = (*socket)->send({.type = FrameType::lane_hello}, nlohmann::json::to_cbor(hello)); !sent) {
    return pass_on(sent);
  }
  auto welcome = read_welcome(**socket);
  if (!welcome) return pass_on(welcome);
  if (asks) {
    auto called = call_fabric(**socket, *welcome, options.fabric, fabrics_, pool_);
    if (!called) return pass_on(called);
    path = std::move(*called);
  }
  (*socket)->set_patience({});
  ends = {};
  Lane lane;
  if (path.connection) {
    const auto ports = rdma_ports();
    if (const RdmaPort* port = rdma_port_at(ports, numeric_address((*socket)->fd(), End::here)))
      lane.port = *port;
    path.connection->adopt(std::move(*socket), options.silence);
    lane.sender = std::make_unique<FabricLaneSender>(std::move(path.connection));
  } else if (required) {
    return fail("no RDMA to {}: {}", (*socket)->peer(), path.why_not);
  } else {
    lane.sender = std::make_unique<TcpLaneSender>(std::move(*socket));
    lane.no_fabric = path.why_not;
  }
  if (auto attached = lane.sender->attach(pool_.memory()); !attached) return pass_on(attached);
  return lane;
}

// All at once, for a fabric's handshake takes many round trips. The error is that of the first lane that has
// one.
Result<> SourceSession::open_lanes(const Options& options, const std::string& token) {
  std::vector<Result<Lane>> opened(options.lanes);
  std::vector<std::thread> opening;
  for (size_t i = 0; i < opened.size(); ++i) {
    auto opens = start_thread([&, i] { opened[i] = open_lane(i, options, token); });
    if (opens) {
      opening.push_back(std::move(*opens));
    } else {
      opened[i] = pass_on(opens);
    }
  }
  for (std::thread& thread : opening) thread.join();
  Result<> all;
  for (Result<Lane>& lane : opened) {
    if (lane) {
      lanes_.push_back(std::move(*lane));
    } else if (all) {
      all = pass_on(lane);
    }
  }
  return all;
}

Result<> SourceSession::start() {
  window_.set_round_trip(control_->round_trip());
  disk_window_.set_round_trip(control_->round_trip());
  tell_chooser();
  closer_ = failure_.on_fail([this] {
    outbox_.stop();
    pacer_.stop();
    window_.stop();
    disk_window_.stop();
    pool_.close();
    control_->give_up(failure_.first()->message, 0);
    for (Lane& lane : lanes_) lane.sender->shut();
  });
  const auto work = [this](auto body) -> Result<> {
    auto thread = start_thread(std::move(body));
    if (!thread) return pass_on(thread);
    threads_.push_back(std::move(*thread));
    return {};
  };
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    if (auto runs = work([this, lane] { run_lane(lane); }); !runs) return runs;
    if (auto waits = work([this, lane] { lose(lane, lanes_[lane].sender->await_end()); }); !waits)
      return waits;
  }
  return control_->start([this] { run_control(); });
}

// What the lanes go over. Where all are ports whose rate is known, that is the first guess of what the
// network drains.
void SourceSession::tell_chooser() {
  const bool all_fabric =
      std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.no_fabric.empty(); });
  // With verify=on there is a hash in front of all pages, and both ends read them.
  if (all_fabric && !options_.compression.verify) chooser_.raw_is_free();
  std::map<std::pair<std::string, unsigned>, uint64_t> rates;
  for (const Lane& lane : lanes_) {
    if (!lane.port || lane.port->rate == 0) return;
    rates[{lane.port->device, lane.port->number}] = lane.port->rate;
  }
  uint64_t all = 0;
  for (const auto& [port, rate] : rates) all += rate;
  chooser_.expect(static_cast<double>(all));
}

SourceSession::~SourceSession() {
  if (control_ && control_->running()) failure_.fail({"the session was abandoned"});
  outbox_.stop();
  pacer_.stop();
  for (Lane& lane : lanes_) lane.sender->shut();
  for (std::thread& thread : threads_) thread.join();
  if (control_) control_->join();
  closer_ = {};  // which knows the lanes
  // All at once, for where a link is dead each may take a minute.
  std::vector<std::thread> closing;
  for (Lane& lane : lanes_) {
    if (auto closes = start_thread([&lane] { lane.sender.reset(); })) {
      closing.push_back(std::move(*closes));
    } else {
      lane.sender.reset();
    }
  }
  for (std::thread& thread : closing) thread.join();
}

std::unique_ptr<SourceChannel> SourceSession::open_channel(ChannelKind kind) {
  uint16_t number = kMainChannel;
  if (kind != ChannelKind::main) {
    number = next_channel_;
    do {
      if (number >= kMaxChannels) return nullptr;
    } while (!next_channel_.compare_exchange_weak(number, number + 1));
  }
  auto channel = std::make_unique<SourceChannel>(*this, number, kind);
  channel->window().open(number);
  OutFrame open;
  open.header.type = FrameType::open;
  open.header.aux = static_cast<uint32_t>(kind);
  channel->send(std::move(open));
  return channel;
}

void SourceSession::say_may_have_it() {
  // If this fails, the control connection has ended, which its own thread finds.
  (void)control_->send({.type = FrameType::may_be_there});
}

// From here on batches may reach the destination's VMM past the order of epochs, or go there unseen.
void SourceSession::lose_order() {
  no_deltas();
  outbox_.lose_order();
}

void SourceSession::no_deltas() {
  history_.disable();
  chooser_.no_deltas();
}

void SourceSession::run_lane(size_t number) {
  if (auto ended = run_lane_until_end(number); !ended) lose(number, ended.error());
  const LaneSender& lane = *lanes_[number].sender;
  chooser_.network(number, lane.bytes_sent(), 0, Chooser::Clock::now());  // nothing waits for it any more
  over(number, &Lane::over_here);
}

Result<> SourceSession::run_lane_until_end(size_t number) {
  LaneSender& lane = *lanes_[number].sender;
  BatchEncoder encoder(&history_);
  EncodedBatch encoded;
  while (Outbox::Frame frame = outbox_.pop(number)) {
    auto posted = frame->header.type == FrameType::batch ? send_batch(number, encoder, encoded, *frame)
                                                         : send_bytes(lane, encoder, *frame);
    if (!posted) return posted;
  }
  return lane.complete();
}

// Whoever finds it first: the lane's worker, who waits for its end, or the control thread.
void SourceSession::lose(size_t number, const Error& why) {
  Lane& lane = lanes_[number];
  bool last = false;
  bool over_there = false;
  {
    std::lock_guard lock(losing_);
    if (done_ || failure_.failed() || !lane.lost.empty()) return;
    lane.lost = why.message;
    last = std::none_of(lanes_.begin(), lanes_.end(), [](const Lane& other) { return other.lost.empty(); });
    over_there = lane.over_there;
  }
  outbox_.end(number);
  lane.sender->shut();
  if (last) {
    failure_.await_cause(kExplanation);
    if (!done_) failure_.fail({fmt::format("the last lane was lost: {}", why.message)});
  } else if (!over_there) {
    // If this fails, the control connection has ended, which its own thread finds.
    (void)control_->send({.type = FrameType::lane_lost, .aux = static_cast<uint32_t>(number)});
  }
}

// A lane's end is at its end with it; the second sets free what it had.
void SourceSession::over(size_t number, bool Lane::*at_end) {
  std::lock_guard lock(losing_);
  Lane& lane = lanes_[number];
  lane.*at_end = true;
  if (lane.over_here && lane.over_there) outbox_.requeue(number);
}

bool SourceSession::any_lost() const {
  std::lock_guard lock(losing_);
  return std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.lost.empty(); });
}

// A batch is taken for what its first page with content is.
Chooser::Population SourceSession::population(const PageBatch& batch) const {
  for (const PageRun& run : batch.runs) {
    if (run.kind == PageKind::zero) continue;
    return history_.knows(run.block, run.first) ? Chooser::Population::again : Chooser::Population::first;
  }
  return Chooser::Population::first;
}

Result<> SourceSession::send_batch(size_t number, BatchEncoder& encoder, EncodedBatch& encoded,
                                   const OutFrame& frame) {
  LaneSender& lane = *lanes_[number].sender;
  chooser_.network(number, lane.bytes_sent(), bytes_waiting(lane), Chooser::Clock::now());
  const EncodingTime time;
  if (frame.whole) {
    Encoding whole;
    whole.sums = options_.compression.verify;
    encoder.encode(frame.pages, frame.header.epoch, whole, encoded, frame.copied);
  } else {
    const Chooser::Pick pick = chooser_.choose(number, population(frame.pages));
    encoder.encode(frame.pages, frame.header.epoch, pick.encoding, encoded);
    outbox_.encoded(frame, encoded.whole, encoded.copied);
    chooser_.encoded(pick, frame.pages.data.size() * frame.pages.page_size, encoded.body_size,
                     time.elapsed());
    chooser_.network(number, lane.bytes_sent(), bytes_waiting(lane), Chooser::Clock::now());
    count(encoded.counts);
  }
  FrameHeader header = frame.header;
  header.pages = frame.pages.page_count();
  header.pack_length = encoded.pack_size;
  header.plain_length = encoded.plain_size;
  if (options_.compression.verify) header.flags |= kSums;
  return post(lane, header, encoded.table, encoded.body);
}

Result<> SourceSession::post(LaneSender& lane, const FrameHeader& header, std::span<const uint8_t> table,
                             std::span<const std::span<const uint8_t>> body) {
  size_t bytes = kFrameHeaderBytes + table.size();
  for (const auto piece : body) bytes += piece.size();
  if (!pacer_.take(bytes)) return fail("the session is over");
  return lane.post(header, table, body);
}

// For the chooser, what the bandwidth holds back waits for the network too.
uint64_t SourceSession::bytes_waiting(const LaneSender& lane) const {
  return lane.bytes_waiting() + pacer_.debt() / lanes_.size();
}

bool SourceSession::network_busy(std::chrono::microseconds wait) const {
  uint64_t waiting = 0;
  std::lock_guard lock(losing_);
  for (const Lane& lane : lanes_) {
    // What a lost one had left waits for nothing.
    if (lane.lost.empty()) waiting += bytes_waiting(*lane.sender);
  }
  return static_cast<double>(waiting) > chooser_.rate() * std::chrono::duration<double>(wait).count();
}

// The rest, such as device state and its description, is compressed where that pays.
Result<> SourceSession::send_bytes(LaneSender& lane, BatchEncoder& encoder, const OutFrame& frame) {
  FrameHeader header = frame.header;
  std::span<const uint8_t> bytes = frame.bytes;
  if (header.type == FrameType::record && bytes.size() >= kLongRecord &&
      options_.compression.mode != Compression::Mode::off) {
    if (const auto pack = encoder.pack(bytes, kRecordLevel); !pack.empty()) {
      header.pack_length = static_cast<uint32_t>(pack.size());
      header.plain_length = static_cast<uint32_t>(bytes.size());
      bytes = pack;
    }
  }
  return post(lane, header, {}, {&bytes, bytes.empty() ? 0u : 1u});
}

void SourceSession::count(const PageCounts& pages) {
  std::lock_guard lock(counting_);
  pages_ += pages;
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

Result<bool> SourceSession::handle(const FrameHead& head, std::vector<uint8_t> body) {
  switch (head.header.type) {
    case FrameType::ack: {
      auto frame = outbox_.acknowledge(head.header.channel, head.header.sequence);
      if (!frame) return fail("{} acknowledged a frame that was never sent", control_->peer());
      FlightWindow& window = frame->disk ? disk_window_ : window_;
      window.acknowledge(head.header.channel, frame->charge);
      if (frame->disk) {
        disk_bytes_ += frame->charge;
      } else if (frame->charge > 0) {
        placed_ = std::chrono::steady_clock::now();
      }
      history_.landed(frame->known);
      if (frame->header.type == FrameType::close) window.close(head.header.channel);
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
      // Where a lane was lost, the batch may have been sent once more, and acknowledged, before this came.
      if (outbox_.again(head.header.channel, head.header.sequence) || any_lost()) return true;
      return fail("{} asked again for a frame that it may not ask for", control_->peer());
    case FrameType::lane_ended: {
      const size_t lane = head.header.aux;
      if (lane >= lanes_.size()) return fail("{} ended lane {}, which is none", control_->peer(), lane);
      over(lane, &Lane::over_there);
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
      if (!blocks_sent_) return fail("{} has bases of blocks that it was not told of", control_->peer());
      if (!blocks->empty()) {
        history_.refer_to(*blocks);
      } else if (*copies > 0) {
        history_.refer_to_copies(*copies);
      } else {
        no_deltas();
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
      return false;
    }
    default:
      return fail("{} sent a frame of type {} on the control connection", control_->peer(),
                  static_cast<int>(head.header.type));
  }
}

Result<nlohmann::json> SourceSession::finish(const nlohmann::json& account) {
  if (outbox_.wait_acknowledged()) {
    done_ = true;
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
    if (account) return account;
    // A refused attempt comes back at once.
    pollfd cancelled{cancel.fd(), POLLIN, 0};
    const auto next =
        std::chrono::ceil<std::chrono::milliseconds>(began + kAskAgain - std::chrono::steady_clock::now());
    const bool stop = poll(&cancelled, 1, static_cast<int>(std::max<int64_t>(next.count(), 0))) > 0;
    if (stop || std::chrono::steady_clock::now() >= until) return account;
  }
}

SourceSession::Totals SourceSession::totals() const {
  Totals totals;
  totals.wire_bytes = control_->bytes_sent();
  totals.guest_bytes = guest_bytes_;
  totals.disk_bytes = disk_bytes_;
  {
    std::lock_guard lock(counting_);
    totals.pages = pages_;
  }
  totals.history_bytes = history_.bytes();
  totals.history_budget = history_.budget();
  totals.window = window_.state();
  totals.placed = placed_;
  totals.encoding = chooser_.describe();
  totals.link_rate = chooser_.rate();
  totals.link_measured = chooser_.knows_rate();
  totals.landing = chooser_.landing_rate();
  totals.round_trip = control_->round_trip();
  uint64_t on_way = pacer_.debt();
  std::lock_guard lock(losing_);
  for (const Lane& lane : lanes_) {
    totals.lanes.push_back(
        {lane.sender->peer(), lane.sender->bytes_sent(), lane.no_fabric, lane.port, lane.lost});
    totals.wire_bytes += lane.sender->bytes_sent();
    if (lane.lost.empty()) on_way += lane.sender->bytes_on_way();
  }
  if (totals.link_rate > 0) totals.on_way += static_cast<double>(on_way) / totals.link_rate;
  if (totals.landing > 0) totals.on_way += static_cast<double>(outbox_.bytes_to_encode()) / totals.landing;
  return totals;
}

}  // namespace wherry
