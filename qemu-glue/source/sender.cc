#include "qemu-glue/source/sender.h"

#include <spdlog/spdlog.h>

#include <map>
#include <utility>

#include "base/errno.h"
#include "qemu-glue/monitor/guest_page.h"

namespace wherry {
namespace {

constexpr std::chrono::milliseconds kSamplePeriod{100};
// For telling the destination that its word has come, where the session could not.
constexpr std::chrono::seconds kConfirm{2};

void say_transport(const std::vector<LaneRoster::Account>& lanes) {
  std::map<std::string, size_t> reasons;
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

}  // namespace

Sender::Sender(Options options, Failure& failure)
    : options_(std::move(options)),
      failure_(failure),
      guest_([this] { return settle(); }),
      channels_(guest_, failure),
      report_(options_.uri) {
  if (options_.trace) options_.trace->count_from(report_.start());
}

Sender::~Sender() {
  for (auto* intake : {&intake_, &disk_intake_}) {
    if (*intake) (*intake)->end();
  }
  channels_.end();
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
                                         .trace = Tracer(options_.trace, "source"),
                                         .wishes = {{"placement", name(options_.uri.placement)}}},
                                        std::move(back), failure_);
  if (!session) return pass_on(session);
  session_ = std::move(*session);
  return {};
}

Result<> Sender::open(std::optional<uid_t> user) {
  if (const int error = left_.error())
    failure_.fail({fmt::format("cannot make an event: {}", reason(error))});
  if (auto opened = open_session(); !opened) {
    failure_.fail(opened.error());  // unless it was ended for another reason
    return tl::make_unexpected(*failure_.first());
  }
  say_transport(session_->totals().lanes);
  if (auto opened = open_intakes(user); !opened) {
    failure_.fail(opened.error());
    return opened;
  }
  closer_ = failure_.on_fail([this] {
    guest_.give_up();
    guest_.note_dialled();
    if (guest_.ending().give_up()) {
      channels_.shut();
    } else {
      intake_->stop();
      if (disk_intake_) disk_intake_->stop();
    }
    channels_.wake();
  });
  return {};
}

Result<> Sender::open_intakes(std::optional<uid_t> user) {
  using Carries = qemu::ChannelReader::Carries;
  const auto open = [&](const Endpoint& at, Carries carries) {
    return Intake::open(
        {.at = at,
         .user = user,
         .silence = options_.uri.resume,
         .take = [this, carries](
                     Fd connection) { return channels_.add(carries, std::move(connection), *session_); }},
        guest_.ending(), failure_);
  };
  auto intake = open(options_.qemu, Carries::guest);
  if (!intake) return pass_on(intake);
  intake_ = std::move(*intake);
  if (!options_.disks) return {};
  auto disks = open(*options_.disks, Carries::disk);
  if (!disks) return pass_on(disks);
  disk_intake_ = std::move(*disks);
  return {};
}

Result<> Sender::run() {
  for (auto* intake : {&intake_, &disk_intake_}) {
    if (!*intake) continue;
    if (auto started = (*intake)->start(); !started) failure_.fail(std::move(started.error()));
  }
  std::optional<qemu::ChannelSet::End> end;
  while (!(end = channels_.wait_end(kSamplePeriod))) sample();
  if (end == qemu::ChannelSet::End::left_early)
    failure_.fail({"the source's QEMU ended the migration before it had begun"});
  const Ended finished = finish();
  for (auto* intake : {&intake_, &disk_intake_}) {
    if (*intake) (*intake)->end();
  }
  sample();
  report_.end(finished);
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
    if (return_path_.shut() && channels_.main_closed())
      guest_.ending().source_left(qemu::Ending::Heard::not_known);
    if (return_path_.shut()) guest_.ending().said(*return_path_.shut());
  }
  if (auto* way = channels_.way_back(channel)) way->push(std::move(bytes));
}

void Sender::hear_close(uint16_t channel, bool both_ways) {
  if (channel == kMainChannel) guest_.ending().left(both_ways);
  if (auto* way = channels_.way_back(channel)) way->close(both_ways);
}

uint32_t Sender::settle() {
  auto settled = channels_.settle([this] { return intake_->next_waiting(); }, *session_);
  if (settled) return *settled;
  failure_.fail(std::move(settled.error()));
  return 0;
}

void Sender::sample() {
  report_.sample({.totals = session_->totals(),
                  .bandwidth = session_->bandwidth(),
                  .opaque = guest_.opaque(),
                  .passes = channels_.passes(),
                  .last_page = last_page()});
}

// In postcopy the guest does not wait for it.
std::optional<SourceReport::LastPage> Sender::last_page() const {
  const auto handed_over = guest_.pages_done();
  if (!handed_over || guest_.postcopy()) return std::nullopt;
  return SourceReport::LastPage{.handed_over = *handed_over, .placed = session_->totals().placed};
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
  report_.note(std::move(state), last_page());
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
  channels_.drain(options_.uri.resume);
  return *ended;
}

// What the source's monitor says. A QEMU that was cancelled in its switchover has taken the guest back
// without knowing whether the destination's has it as well.
std::optional<Ended> Sender::departed() const {
  auto said = options_.departed();
  if (said && said->outcome == Outcome::cancelled && report_.guest_stopped()) return std::nullopt;
  return said;
}

Result<Ended> Sender::read_account(const nlohmann::json& account) {
  auto outcome = peer_text(account, "outcome");
  auto detail = peer_text(account, "detail");
  auto placement = peer_text(account, "placement");
  auto placement_reason = peer_text(account, "placement_reason");
  for (const auto* text : {&outcome, &detail, &placement, &placement_reason}) {
    if (!*text) return tl::make_unexpected(text->error());
  }
  report_.set_placement({.how = *placement, .reason = *placement_reason});
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
    channels_.drain(options_.uri.resume);
  }
  Ended ended = agree(ending.known(true), told).value_or(ending.ended(true));
  if (ended.outcome == Outcome::failed) ended.detail = why.message;
  if (ended.outcome == Outcome::unknown) ended.detail = fmt::format("{}; {}", why.message, ended.detail);
  channels_.shut();
  return ended;
}

}  // namespace wherry
