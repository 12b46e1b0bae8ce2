#include "qemu-glue/source/channel_set.h"

#include <algorithm>
#include <utility>

namespace wherry::qemu {

Result<> ChannelSet::add(ChannelReader::Carries carries, Fd connection, SourceSession& session) {
  Lock lock(mutex_);
  if (closed_) return {};
  return start(carries, std::move(connection), session);
}

Result<> ChannelSet::start(ChannelReader::Carries carries, Fd connection, SourceSession& session) {
  auto channel =
      std::make_unique<ChannelReader>(carries, std::move(connection), session, guest_, failure_, [this] {
        Lock lock(mutex_);
        changed_.notify_all();
      });
  if (auto started = channel->start(); !started) return started;
  channels_.push_back(std::move(channel));
  // The channel in which the destination fetches pages; QEMU says nothing on it before it is needed.
  if (carries == ChannelReader::Carries::guest && settled_ && guest_.postcopy())
    channels_.back()->settle(true);
  return {};
}

Result<uint32_t> ChannelSet::settle(const std::function<Result<Fd>()>& next, SourceSession& session) {
  Lock lock(mutex_);
  for (;;) {
    auto waiting = next();
    if (!waiting) return pass_on(waiting);
    if (!*waiting) break;
    auto started = start(ChannelReader::Carries::guest, std::move(*waiting), session);
    if (!started) return pass_on(started);
  }
  for (auto& channel : channels_) channel->settle(guest_.postcopy());
  settled_ = true;
  return static_cast<uint32_t>(std::count_if(channels_.begin(), channels_.end(),
                                             [](const auto& channel) { return channel->in_epochs(); }));
}

std::optional<ChannelSet::End> ChannelSet::wait_end(std::chrono::milliseconds longest) {
  const auto until = std::chrono::steady_clock::now() + longest;
  std::optional<End> end;
  Lock lock(mutex_);
  while (!(end = find_end()) && changed_.wait_until(mutex_, until)) continue;
  if (!end) end = find_end();
  closed_ = closed_ || (end && *end != End::held);
  return end;
}

void ChannelSet::wake() {
  Lock lock(mutex_);
  changed_.notify_all();
}

std::optional<ChannelSet::End> ChannelSet::find_end() const {
  if (left_early()) return End::left_early;
  if (over()) return End::over;
  if (held()) return End::held;
  return std::nullopt;
}

// A copy of a disk that has ended says nothing of the guest, which may come later, or whenever a script has
// it come.
bool ChannelSet::left_early() const {
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

bool ChannelSet::over() const {
  bool main_came = false;
  for (const auto& channel : channels_) {
    if (!channel->ended()) return false;
    main_came = main_came || channel->is_main();
  }
  return main_came || failure_.failed();
}

bool ChannelSet::held() const {
  const auto state = guest_.ending().state();
  return failure_.failed() && state != Ending::State::cannot && state != Ending::State::has_not;
}

bool ChannelSet::main_closed() const {
  Lock lock(mutex_);
  return std::any_of(channels_.begin(), channels_.end(),
                     [](const auto& channel) { return channel->is_main() && channel->qemu_closed(); });
}

std::optional<uint32_t> ChannelSet::passes() const {
  Lock lock(mutex_);
  std::optional<uint32_t> most;
  for (const auto& channel : channels_) {
    // If only copies of disks came and have ended, no guest is there.
    if (!channel->is_disk() || !channel->ended()) most = std::max(most.value_or(1), channel->passes() + 1);
  }
  return most;
}

WayBack* ChannelSet::way_back(uint16_t channel) {
  Lock lock(mutex_);
  for (auto& reader : channels_) {
    if (auto* found = reader->way_back(channel)) return found;
  }
  return nullptr;
}

// Without the lock: what comes back meanwhile needs it.
void ChannelSet::drain(std::chrono::seconds longest) {
  std::vector<ChannelReader*> readers;
  {
    Lock lock(mutex_);
    for (auto& channel : channels_) readers.push_back(channel.get());
  }
  for (ChannelReader* reader : readers) reader->drain(longest);
}

void ChannelSet::shut() {
  Lock lock(mutex_);
  closed_ = true;
  for (auto& channel : channels_) channel->shut();
}

void ChannelSet::end() {
  shut();
  std::vector<std::unique_ptr<ChannelReader>> ending;  // without the lock, because they need it
  Lock lock(mutex_);
  ending.swap(channels_);
}

}  // namespace wherry::qemu
