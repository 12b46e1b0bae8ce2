#include "qemu-glue/source/sender.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/errno.h"
#include "base/start_thread.h"
#include "qemu-glue/monitor/guest_page.h"
#include "qemu-glue/source/qemu_socket.h"
#include "transport/socket/listener.h"

namespace wherry {
namespace {

constexpr std::chrono::milliseconds kSamplePeriod{100};
// For telling the destination that its word has come, where the session could not.
constexpr std::chrono::seconds kConfirm{2};

}  // namespace

Sender::Sender(Options options, Failure& failure)
    : options_(std::move(options)),
      failure_(failure),
      start_(std::chrono::steady_clock::now()),
      guest_([this] { return settle(); }) {
  report_.role = "source";
  report_.uri = options_.uri.text;
  report_.target_ms = std::chrono::duration<double, std::milli>(options_.uri.downtime).count();
}

Sender::~Sender() {
  stop_accepting();
  for (auto& channel : channels_) channel->shut();
  channels_.clear();
}

Result<> Sender::open_session() {
  SourceSession::WayBack back{
      .bytes = [this](uint16_t channel, std::vector<uint8_t> bytes) { hear(channel, std::move(bytes)); },
      .closed = [this](uint16_t channel, bool both_ways) { hear_close(channel, both_ways); },
      .never_there = [this] { guest_.ending().never(); }};
  auto session = SourceSession::connect({.peers = options_.uri.hosts,
                                         .lanes = options_.uri.streams,
                                         .downtime = options_.uri.downtime,
                                         .silence = options_.uri.resume,
                                         .bandwidth = options_.uri.bandwidth,
                                         .compression = options_.uri.compression,
                                         .fabric = options_.uri.fabric,
                                         .route = options_.uri.route,
                                         .wishes = {{"placement", name(options_.uri.placement)}}},
                                        std::move(back), failure_);
  if (!session) return pass_on(session);
  session_ = std::move(*session);
  return {};
}

Result<> Sender::open(std::optional<uid_t> user) {
  if (const int error = left_.error())
    failure_.fail({fmt::format("cannot make an event: {}", reason(error))});
  if (auto kept = reserve_.keep(1); !kept) failure_.fail(std::move(kept.error()));
  if (auto opened = open_session(); !opened) {
    failure_.fail(opened.error());  // unless it was ended for another reason
    return tl::make_unexpected(*failure_.first());
  }
  say_transport();
  auto listener = listen_for_qemu(options_.qemu, user);
  if (!listener) {
    failure_.fail(listener.error());
    return pass_on(listener);
  }
  listener_ = std::move(*listener);
  if (options_.disks) {
    auto disks = listen_for_qemu(*options_.disks, user);
    if (!disks) {
      failure_.fail(disks.error());
      return pass_on(disks);
    }
    disk_listener_ = std::move(*disks);
  }
  closer_ = failure_.on_fail([this] {
    listener_->stop();
    if (disk_listener_) disk_listener_->stop();
    guest_.give_up();
    guest_.note_dialled();
    const bool closes = guest_.ending().give_up();
    std::lock_guard lock(mutex_);
    if (closes) {
      for (auto& channel : channels_) channel->shut();
    }
    channel_ended_.notify_all();
  });
  return {};
}

void Sender::say_transport() const {
  std::map<std::string, size_t> reasons;
  const auto lanes = session_->totals().lanes;
  for (const auto& lane : lanes) {
    if (!lane.no_fabric.empty()) ++reasons[lane.no_fabric];
  }
  for (const auto& [reason, count] : reasons)
    spdlog::info("transport: tcp for {} of {} lanes ({})", count, lanes.size(), reason);
  std::map<std::string, size_t> ports;
  for (const auto& lane : lanes) {
    if (!lane.no_fabric.empty()) continue;
    ++ports[lane.port ? fmt::format("{} port {}, {:.0f} Gb/s, MTU {}", lane.port->device, lane.port->number,
                                    static_cast<double>(lane.port->rate) * 8e-9, lane.port->mtu)
                      : lane.peer];
  }
  for (const auto& [port, count] : ports)
    spdlog::info("transport: rdma for {} of {} lanes ({})", count, lanes.size(), port);
}

Result<> Sender::run() {
  using Carries = qemu::ChannelReader::Carries;
  const auto accepting = [this](std::thread& in, const Listener& listener, Carries carries) {
    auto accepts = start_thread([this, &listener, carries] { accept(listener, carries); });
    if (!accepts) return failure_.fail(std::move(accepts.error()));
    in = std::move(*accepts);
  };
  accepting(acceptor_, *listener_, Carries::guest);
  if (disk_listener_) accepting(disk_acceptor_, *disk_listener_, Carries::disk);
  bool given_up = false;
  {
    std::unique_lock lock(mutex_);
    const auto ended = [this] { return left_early() || over() || held(); };
    while (!channel_ended_.wait_for(lock, kSamplePeriod, ended)) sample();
    given_up = left_early();
  }
  if (given_up) failure_.fail({"the source's QEMU ended the migration before it had begun"});
  stop_accepting();
  const Ended finished = finish();
  std::lock_guard lock(mutex_);
  sample();
  report_.total_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  report_.outcome = finished.outcome;
  report_.error = finished.detail;
  if (finished.outcome == Outcome::completed) return {};
  return fail("{}", finished.detail);
}

bool Sender::interrupt(const std::string& why) {
  if (!guest_.ending().give_up()) return false;
  failure_.fail({why});
  return true;
}

void Sender::leave() {
  left_.raise();
  failure_.fail({"interrupted while the destination's word was awaited"});
}

void Sender::ask_page_size(Monitor& qemu) {
  if (const auto size = qemu::page_size_of_processor(qemu)) {
    guest_.note_page_size(*size);
  } else {
    guest_.expect_page_size();
  }
}

void Sender::hear_page_size(std::optional<uint32_t> bytes) {
  if (bytes) guest_.note_page_size(*bytes);
}

void Sender::hear(uint16_t channel, std::vector<uint8_t> bytes) {
  if (channel == kMainChannel) {
    std::vector<uint8_t> passed_on;
    return_path_.feed(bytes, passed_on);
    if (return_path_.fetches()) guest_.ending().fetches();
    if (return_path_.shut() && main_closed()) guest_.ending().source_left(qemu::Ending::Heard::not_known);
    if (return_path_.shut()) guest_.ending().said(*return_path_.shut());
  }
  if (auto* way = way_back(channel)) way->push(std::move(bytes));
}

// Whether QEMU has closed the main channel: its reader may be busy with what came before.
bool Sender::main_closed() const {
  std::lock_guard lock(mutex_);
  return std::any_of(channels_.begin(), channels_.end(),
                     [](const auto& channel) { return channel->is_main() && channel->qemu_closed(); });
}

void Sender::hear_close(uint16_t channel, bool both_ways) {
  if (channel == kMainChannel) guest_.ending().left(both_ways);
  if (auto* way = way_back(channel)) way->close(both_ways);
}

// A channel's reader lives as long as this, and so does its way back.
qemu::WayBack* Sender::way_back(uint16_t channel) {
  std::lock_guard lock(mutex_);
  for (auto& reader : channels_) {
    if (auto* found = reader->way_back(channel)) return found;
  }
  return nullptr;
}

// The guest's channels came and ended without the main one: QEMU has given up. A copy of a disk that has
// ended says nothing of the guest, which may come later, or whenever a script has it come.
// Called with the lock held.
bool Sender::left_early() const {
  bool came = false;
  for (const auto& channel : channels_) {
    // In this order: a connection that becomes the main channel meanwhile is seen as silent or as main.
    const bool known = channel->in_epochs();
    const bool done = channel->ended();
    came = came || known;
    // It may yet turn out to be the main channel, or copies a disk still.
    const bool goes_on = !known && !done;
    if (goes_on || channel->is_main()) return false;
  }
  return came;
}

// Called with the lock held.
bool Sender::over() const {
  bool main_came = false;
  for (const auto& channel : channels_) {
    if (!channel->ended()) return false;
    main_came = main_came || channel->is_main();
  }
  return main_came || failure_.failed();
}

// The session has failed, but QEMU is to notice nothing yet. Called with the lock held.
bool Sender::held() const {
  const auto state = guest_.ending().state();
  return failure_.failed() && state != qemu::Ending::State::cannot && state != qemu::Ending::State::has_not;
}

void Sender::stop_accepting() {
  for (auto* listener : {&listener_, &disk_listener_}) {
    if (*listener) (*listener)->stop();
  }
  for (auto* thread : {&acceptor_, &disk_acceptor_}) {
    if (thread->joinable()) thread->join();
  }
}

// A connection that cannot be taken is missed by QEMU, which waits for it, perhaps with a guest that stands
// still. So it ends the migration; or, where that is the QEMUs' affair, ends itself, as they have to know.
void Sender::accept(const Listener& listener, qemu::ChannelReader::Carries carries) {
  for (;;) {
    auto connection = listener.accept(options_.uri.resume);
    Result<> added;
    if (connection) {
      std::lock_guard lock(mutex_);
      added = add_channel(carries, std::move(*connection));
    } else if (listener.stopped()) {
      return;
    } else {
      added = pass_on(connection);
    }
    if (added) continue;
    if (guest_.ending().state() == qemu::Ending::State::cannot)
      return failure_.fail(std::move(added.error()));
    spdlog::error("{}", added.error().message);
    if (!connection) turn_away(listener);
  }
}

void Sender::turn_away(const Listener& listener) {
  Result<> kept;
  {
    std::lock_guard lock(mutex_);
    reserve_.release();
    (void)listener.accept_waiting();
    kept = reserve_.keep(1);
  }
  if (!kept) listener.back_off();  // somebody else was quicker
}

// Called with the lock held.
Result<> Sender::add_channel(qemu::ChannelReader::Carries carries, Fd connection) {
  auto channel = std::make_unique<qemu::ChannelReader>(carries, std::move(connection), *session_, guest_,
                                                       failure_, [this] {
                                                         std::lock_guard lock(mutex_);
                                                         channel_ended_.notify_all();
                                                       });
  if (auto started = channel->start(); !started) return started;
  channels_.push_back(std::move(channel));
  // The channel in which the destination fetches pages; QEMU says nothing on it before it is needed.
  if (carries == qemu::ChannelReader::Carries::guest && settled_ && guest_.postcopy())
    channels_.back()->settle(true);
  return {};
}

uint32_t Sender::settle() {
  auto settled = settle_all();
  if (settled) return *settled;
  failure_.fail(std::move(settled.error()));
  return 0;
}

Result<uint32_t> Sender::settle_all() {
  std::lock_guard lock(mutex_);
  for (;;) {
    auto waiting = listener_->accept_waiting();
    if (!waiting) return pass_on(waiting);
    if (!*waiting) break;
    if (auto added = add_channel(qemu::ChannelReader::Carries::guest, std::move(*waiting)); !added)
      return pass_on(added);
  }
  for (auto& channel : channels_) channel->settle(guest_.postcopy());
  settled_ = true;
  return static_cast<uint32_t>(std::count_if(channels_.begin(), channels_.end(),
                                             [](const auto& channel) { return channel->in_epochs(); }));
}

// Called with the lock held.
void Sender::sample() {
  const SourceSession::Totals totals = session_->totals();
  report_.bandwidth = session_->bandwidth();
  report_.wire_bytes = totals.wire_bytes;
  report_.guest_bytes = totals.guest_bytes;
  report_.disk_bytes = totals.disk_bytes;
  report_.pages = totals.pages;
  report_.history_bytes = totals.history_bytes;
  report_.history_budget = totals.history_budget;
  report_.in_flight_max = totals.window.most_in_flight;
  report_.in_flight_bound = totals.window.largest_bound;
  report_.lanes.resize(totals.lanes.size());
  for (size_t i = 0; i < totals.lanes.size(); ++i) {
    const auto& [peer, bytes, no_rdma, port, lost] = totals.lanes[i];
    if (!lost.empty() && !report_.lanes[i].lost) spdlog::warn("lane lost: number={} cause=\"{}\"", i, lost);
    report_.lanes[i] = {
        .peer = peer, .sent = bytes, .written = {}, .no_rdma = no_rdma, .port = port, .lost = !lost.empty()};
  }
  report_.opaque = guest_.opaque();
  report_.total_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  // Where only copies of disks came and have ended, nobody uses this.
  report_.passes.reset();
  for (const auto& channel : channels_) {
    if (!channel->is_disk() || !channel->ended())
      report_.passes = std::max(report_.passes.value_or(1), channel->passes() + 1);
  }
  measure();
  if (!report_.passes) return;
  std::optional<double> predicted_ms;
  if (report_.predicted) predicted_ms = report_.predicted->total() * 1000;
  std::optional<double> ratio;
  if (totals.guest_bytes > 0 && totals.wire_bytes > 0)
    ratio = static_cast<double>(totals.guest_bytes) / static_cast<double>(totals.wire_bytes);
  report_.timeline.push_back(
      {.t = report_.total_s,
       .goodput = totals.window.goodput,
       .ratio = ratio,
       .in_flight = totals.window.in_flight,
       .encoding = totals.encoding,
       .link_rate = totals.link_measured ? std::optional(totals.link_rate) : std::nullopt,
       .remaining = convergence_.remaining,
       .dirty_rate = convergence_.dirty_rate,
       .throttle = convergence_.throttle,
       .predicted_ms = predicted_ms});
}

convergence::Lanes Sender::lanes() const {
  const SourceSession::Totals totals = session_->totals();
  return {.in_flight = static_cast<double>(totals.window.in_flight),
          .bound = static_cast<double>(totals.window.bound),
          .landing = totals.landing,
          .goodput = totals.window.goodput,
          .link = totals.link_rate,
          .on_way = totals.on_way,
          .round_trip = totals.round_trip};
}

void Sender::note(convergence::State state) {
  std::lock_guard lock(mutex_);
  convergence_ = std::move(state);
  report_.remaining = convergence_.remaining;
  report_.predicted = convergence_.predicted;
  measure();
  report_.throttle_by = convergence_.throttle_by;
  report_.throttle_reason = convergence_.throttle_reason;
  report_.throttle_peak = convergence_.throttle_peak;
  report_.throttle_mean = convergence_.throttle_mean;
  for (size_t i = report_.messages.size(); i < convergence_.messages.size(); ++i)
    report_.messages.push_back({report_.total_s, convergence_.messages[i]});
}

// The parts of the guest's absence that show here. Called with the lock held.
void Sender::measure() {
  const auto pages_done = guest_.pages_done();
  if (!convergence_.stopped || !pages_done || guest_.postcopy()) return;
  const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
  report_.measured = convergence::Downtime{.pages = seconds(*pages_done - *convergence_.stopped),
                                           .placed = seconds(session_->totals().placed - *pages_done)};
}

Ended Sender::finish() {
  std::optional<Ended> known;
  if (!failure_.failed()) known = guest_.ending().known(true);
  if (!failure_.failed() && options_.departed) known = agree(known, departed());
  nlohmann::json own = to_account(known);
  if (guest_.ending().left_without_word()) own[kLeftWithoutWord] = true;
  auto account = session_->finish(own);
  auto ended = account ? read_account(*account) : pass_on(account);
  if (!ended) return when_failed(ended.error());
  drain();
  return *ended;
}

// What the source's monitor says. A QEMU that was cancelled in its switchover has taken the guest back
// without knowing whether the destination's has it as well.
std::optional<Ended> Sender::departed() const {
  auto said = options_.departed();
  std::lock_guard lock(mutex_);
  if (said && said->outcome == Outcome::cancelled && convergence_.stopped) return std::nullopt;
  return said;
}

Result<Ended> Sender::read_account(const nlohmann::json& account) {
  auto outcome = member<std::string>(account, "outcome");
  auto detail = member<std::string>(account, "detail");
  auto placement = member<std::string>(account, "placement");
  auto placement_reason = member<std::string>(account, "placement_reason");
  for (const auto* text : {&outcome, &detail, &placement, &placement_reason}) {
    if (!*text) return tl::make_unexpected(text->error());
  }
  std::lock_guard lock(mutex_);
  report_.placement = *placement;
  report_.placement_reason = *placement_reason;
  return Ended{outcome_named(*outcome).value_or(Outcome::unknown), *detail};
}

// What the destination's QEMU has said by then reaches this one; if that may be its last word and is still to
// come, it is waited for. Only then are QEMU's connections closed.
Ended Sender::when_failed(const Error& why) {
  qemu::Ending& ending = guest_.ending();
  const auto state = ending.state();
  const bool may = state == qemu::Ending::State::may || state == qemu::Ending::State::shares;
  if (may) spdlog::warn("{}; asking the destination how the migration went", why.message);
  std::optional<Ended> told;
  if (may || state == qemu::Ending::State::has) {
    const auto until = std::chrono::steady_clock::now() + (may ? options_.uri.resume : kConfirm);
    if (auto account = session_->last_word(until, left_)) {
      auto read = read_account(*account);
      if (read) told = *read;
    }
    if (told && told->outcome != Outcome::unknown) ending.asked(told->outcome == Outcome::completed);
    drain();
  }
  Ended ended = agree(ending.known(true), told).value_or(ending.ended(true));
  if (ended.outcome == Outcome::failed) ended.detail = why.message;
  if (ended.outcome == Outcome::unknown) ended.detail = fmt::format("{}; {}", why.message, ended.detail);
  std::lock_guard lock(mutex_);
  for (auto& channel : channels_) channel->shut();
  return ended;
}

void Sender::drain() {
  for (auto& channel : channels_) channel->drain(options_.uri.resume);
}

Report Sender::report() const {
  std::lock_guard lock(mutex_);
  return report_;
}

}  // namespace wherry
