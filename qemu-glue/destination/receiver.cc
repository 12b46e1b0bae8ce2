#include "qemu-glue/destination/receiver.h"

#include <spdlog/spdlog.h>

#include "qemu-glue/destination/disk_sink.h"
#include "transport/socket/listener.h"

namespace wherry {
namespace {

// The time between two looks whether QEMU is done, after its source has left.
constexpr std::chrono::seconds kLook{1};
// What asking QEMU's monitor takes: a connection, and the process at its other end.
constexpr size_t kAskDescriptors = 2;

}  // namespace

Receiver::Receiver(Options options, Failure& failure)
    : options_(std::move(options)),
      failure_(failure),
      trace_(options_.trace, "destination"),
      guest_(failure),
      report_(options_.listen) {
  if (options_.trace) options_.trace->count_from(report_.start());
}

Receiver::~Receiver() = default;

Result<> Receiver::open() {
  auto listener = Listener::open(options_.listen.hosts);
  if (!listener) return pass_on(listener);
  open(std::move(*listener));
  return {};
}

void Receiver::open(Listener listener) {
  listener_ = std::move(listener);
  closer_ = failure_.on_fail([this] { listener_->stop(); });
}

Result<> Receiver::run() {
  const Ended ended = carry();
  if (session_) {
    const DestinationSession::Totals totals = session_->totals();
    report_.add(totals);
    if (!totals.fabric_trouble.empty()) spdlog::warn("RDMA into guest memory: {}", totals.fabric_trouble);
  }
  report_.end(ended);
  if (ended.outcome == Outcome::completed) return {};
  return fail("{}", ended.detail);
}

Ended Receiver::carry() {
  if (auto kept = reserve_.keep(kAskDescriptors); !kept) return {Outcome::failed, kept.error().message};
  auto session = DestinationSession::accept(
      *listener_, options_.listen.fabric, *this,
      [this](const nlohmann::json& source) { return account(source); }, failure_, trace_);
  if (!session) return {Outcome::failed, session.error().message};
  session_ = std::move(*session);
  if (options_.begun) options_.begun();
  choose_mode();
  if (auto started = session_->start(); !started) failure_.fail(std::move(started.error()));
  closer_ = {};  // the session stops listening when nobody is awaited any more
  auto finished = session_->finish();
  if (!finished) return when_failed(finished.error());
  return outcome(*finished);
}

// QEMU closes the main channel when it is done with it. It does not always do so after its source has closed
// the channel (10.0 then waits for more multifd connections for ever).
Ended Receiver::outcome(const nlohmann::json& source) {
  const auto told = told_outcome(source);
  if (source.contains(kLeftWithoutWord)) guest_.ending().source_left(qemu::Ending::Heard::nothing);
  const auto until = std::chrono::steady_clock::now() + session_->silence();
  qemu::Ending& ending = guest_.ending();
  while (!guest_.wait_main_closed(kLook) && !told && std::chrono::steady_clock::now() < until) {
    ask();
    if (ending.state() != qemu::Ending::State::may) break;
  }
  ask();
  return agree(ending.known(true), told).value_or(ending.ended(true));
}

Ended Receiver::when_failed(const Error& why) {
  if (give_up() == Guest::may_be_here)
    spdlog::warn("{}; QEMU's word is kept for {} s, for a sender that comes back", why.message,
                 session_->silence().count());
  const bool told = session_->keep_word();
  ask();
  Ended ended = guest_.ending().ended(told);
  if (ended.outcome == Outcome::failed) ended.detail = why.message;
  if (ended.outcome == Outcome::unknown) ended.detail = why.message + "; " + ended.detail;
  return ended;
}

// If the stream does not tell how it went, QEMU may. A QEMU that has ended does not, and its process number
// may be another's.
void Receiver::ask() {
  Lock lock(asking_);
  if (!options_.arrived || guest_.ending().state() != qemu::Ending::State::may || guest_.process_ended())
    return;
  reserve_.release();
  if (const auto arrived = options_.arrived(guest_.process())) guest_.ending().asked(*arrived);
}

bool Receiver::interrupt(const std::string& why) {
  if (give_up() != Guest::not_here) return false;
  failure_.fail({why});
  return true;
}

void Receiver::leave() {
  failure_.fail({"interrupted while QEMU's word was awaited"});
  if (session_) session_->leave();
}

// Combines what this side and the source ask for.
void Receiver::choose_mode() {
  mode_ = options_.listen.placement;
  auto wish = session_->wishes().find("placement");
  if (wish == session_->wishes().end() || !wish->is_string()) return;
  auto asked = placement_mode(wish->get<std::string>());
  if (asked && *asked != PlacementMode::automatic && mode_ != PlacementMode::relay) mode_ = *asked;
}

Result<GuestRam> Receiver::find_memory() const {
  if (mode_ == PlacementMode::relay) return fail("asked for");
  return options_.memory(guest_.process());
}

Result<std::unique_ptr<ChannelSink>> Receiver::open(uint16_t channel, ChannelKind kind) {
  if (kind == ChannelKind::disk) {
    if (!options_.disks) return fail("a disk comes along, but `wherry receive` was given no --disks");
    return qemu::DiskSink::open(*options_.disks, channel, *session_, failure_);
  }
  auto sink = std::make_unique<qemu::QemuSink>(options_.qemu, channel, kind, guest_, *session_, failure_);
  if (auto opened = sink->open(); !opened) return pass_on(opened);
  return sink;
}

Result<std::unique_ptr<Placement>> Receiver::blocks(const GuestBlocks& blocks) {
  if (!guest_.wait_main_dialled()) return fail("the session ended");
  auto found = blocks.relay_because.empty() ? find_memory() : fail("{}", blocks.relay_because);
  // A number says which process it was only while that one runs.
  if (guest_.process_ended()) return fail("the QEMU at {} has ended", options_.qemu.str());
  // The monitor may be that of another QEMU that waits, whose guest memory would be overwritten. If the
  // socket does not tell the process, the monitor was asked where its QEMU waits (DestinationMonitor), or
  // told it (Migration).
  if (found && guest_.process() > 0 && found->process() != guest_.process()) {
    return fail(
        "process {} waits at {}, but --qmp is the monitor of process {}: give that of the QEMU that takes "
        "the guest",
        guest_.process(), options_.qemu.str(), found->process());
  }
  std::unique_ptr<DirectPlacement> direct;
  std::string reason;
  if (found) {
    if (auto fits = DirectPlacement::check(*found, blocks); !fits) return pass_on(fits);
    ram_ = std::move(*found);
    auto made = DirectPlacement::make(*ram_, blocks);
    if (made)
      direct = std::move(*made);
    else
      reason = made.error().message;
  } else {
    reason = found.error().message;
  }
  if (!direct && mode_ == PlacementMode::direct) return fail("placement=direct is impossible: {}", reason);
  guest_.set_blocks(blocks, direct ? direct->taken() : qemu::Skip());
  if (direct) {
    report_.place_directly(direct->way());
  } else {
    report_.relay(reason);
  }
  trace_("placement", {{"how", report_.report().placement.how}, {"reason", reason}});
  return direct;
}

void Receiver::lane_lost(size_t lane, const std::string& why) {
  spdlog::warn("lane lost: number={} cause=\"{}\"", lane, why);
}

void Receiver::placement_withdrawn() {
  trace_("placement_withdrawn", {{"why", "a channel became opaque"}});
}

LandingSite::Guest Receiver::give_up() {
  qemu::Ending& ending = guest_.ending();
  if (ending.give_up()) return Guest::not_here;
  // A QEMU that has paused says nothing more, and its next connections belong to another session.
  const bool paused = ending.state() == qemu::Ending::State::shares && ending.over();
  return paused ? Guest::in_part : Guest::may_be_here;
}

nlohmann::json Receiver::account(const nlohmann::json& source) {
  const Ended ended = outcome(source);  // it may take a while
  return report_.account(ended, session_->totals().landing.guest.withdrawn);
}

}  // namespace wherry
