#include "transport/wire/last_word.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/wait_ready.h"
#include "transport/wire/control.h"
#include "transport/wire/first_frame.h"

namespace wherry {
namespace {

// How long the source has to confirm.
constexpr std::chrono::seconds kConfirm{10};

Result<FrameHead> next_head(FrameSocket& socket) {
  FrameHead head;
  auto got = socket.receive_head(head);
  if (!got) return pass_on(got);
  if (!*got) return fail("{} closed the connection", socket.peer());
  return head;
}

// Waits for the next frame's first byte.
Result<> await_frame(FrameSocket& socket, std::chrono::steady_clock::time_point until, const Event& cancel) {
  std::array<pollfd, 2> ready{pollfd{socket.fd(), POLLIN, 0}, pollfd{cancel.fd(), POLLIN, 0}};
  auto there = wait_ready(ready, until);
  if (!there) return pass_on(there);
  if (ready[1].revents) return fail("interrupted");
  if (!*there) return fail("{} had no word from the VMM in time", socket.peer());
  return {};
}

}  // namespace

void LastWord::said(std::span<const uint8_t> bytes) {
  Lock lock(mutex_);
  total_ += bytes.size();
  kept_.insert(kept_.end(), bytes.begin(), bytes.end());
  if (kept_.size() > 2 * kKept) kept_.erase(kept_.begin(), kept_.end() - static_cast<ptrdiff_t>(kKept));
  changed_.notify_all();
}

void LastWord::closed() {
  Lock lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

Result<> LastWord::tell(FrameSocket& source, uint64_t heard, const std::function<nlohmann::json()>& account) {
  {
    Lock lock(mutex_);
    asked_ = true;
  }
  if (auto sent =
          source.send({.type = FrameType::welcome}, nlohmann::json::to_cbor(nlohmann::json::object()));
      !sent)
    return sent;
  for (bool over = false; !over;) {
    std::vector<uint8_t> more;
    {
      Lock lock(mutex_);
      while (!stopped_ && !closed_ && total_ == heard) changed_.wait(mutex_);
      if (stopped_) return fail("nobody waits for the VMM's word any more");
      const uint64_t missing = total_ - heard;
      if (heard > total_ || missing > kept_.size())
        return fail("{} asks for what follows byte {} of {}, which is not kept here", source.peer(), heard,
                    total_);
      more.assign(kept_.end() - static_cast<ptrdiff_t>(missing), kept_.end());
      over = closed_;
    }
    heard += more.size();
    if (!more.empty()) {
      if (auto sent = source.send({.type = FrameType::reverse}, more); !sent) return sent;
    }
  }
  if (auto sent = source.send({.type = FrameType::reverse_close, .aux = kBothWays}); !sent) return sent;
  if (auto sent = source.send({.type = FrameType::done}, nlohmann::json::to_cbor(account())); !sent)
    return sent;
  source.set_patience(kConfirm);
  auto confirmed = next_head(source);
  if (!confirmed) return pass_on(confirmed);
  Lock lock(mutex_);
  told_ = confirmed->header.type == FrameType::done;
  changed_.notify_all();
  return {};
}

bool LastWord::asked() const {
  Lock lock(mutex_);
  return asked_;
}

void LastWord::wait_closed(std::chrono::steady_clock::time_point until) {
  Lock lock(mutex_);
  while (!closed_ && !told_ && !stopped_ && changed_.wait_until(mutex_, until)) continue;
}

bool LastWord::wait_told(std::chrono::steady_clock::time_point until) {
  Lock lock(mutex_);
  while (!told_ && !stopped_ && changed_.wait_until(mutex_, until)) continue;
  return told_;
}

void LastWord::stop() {
  Lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

Result<nlohmann::json> hear_last_word(FrameSocket& destination, WordAsked& asked,
                                      std::chrono::steady_clock::time_point until, const Event& cancel) {
  const nlohmann::json question = {{"token", asked.token}, {"route", asked.route}, {"heard", asked.heard}};
  if (auto sent = destination.send({.type = FrameType::last_word}, nlohmann::json::to_cbor(question)); !sent)
    return pass_on(sent);
  if (auto welcome = read_welcome(destination); !welcome) return pass_on(welcome);
  for (;;) {
    if (auto there = await_frame(destination, until, cancel); !there) return pass_on(there);
    auto head = next_head(destination);
    if (!head) return pass_on(head);
    auto body = destination.receive_body();
    if (!body) return pass_on(body);
    switch (head->header.type) {
      case FrameType::reverse:
        asked.heard += body->size();
        asked.bytes(std::move(*body));
        break;
      case FrameType::reverse_close:
        asked.closed();
        break;
      case FrameType::refuse:
        return fail("{} refused: {}", destination.peer(), peer_text(*body));
      case FrameType::done: {
        auto account = read_map(*body, destination.peer());
        // If this does not arrive, the destination keeps the word for longer than it needs to.
        if (account)
          (void)destination.send({.type = FrameType::done},
                                 nlohmann::json::to_cbor(nlohmann::json::object()));
        return account;
      }
      default:
        return fail("{} sent a frame `{}` instead of the VMM's word", destination.peer(),
                    name(head->header.type));
    }
  }
}

}  // namespace wherry
