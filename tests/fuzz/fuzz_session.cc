// A whole session at the destination, against a source that was let in and is hostile. Input: a byte for how
// the destination's VMM behaves, then steps of the source (hostile_source.h).
//
// One input is one session from the first connection to the last thread. It waits for no time of its own: at
// the end the source hangs up everywhere, and that ends whatever still waits for it.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "base/failure.h"
#include "base/mutex.h"
#include "tests/fuzz/guarded_site.h"
#include "tests/fuzz/hostile_source.h"
#include "transport/destination/destination_session.h"
#include "transport/socket/listener.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace wherry::test {
namespace {

constexpr size_t kMostSteps = 160;

GuardedSite::Behaviour behaviour(uint8_t how) {
  constexpr std::array kGuests{LandingSite::Guest::not_here, LandingSite::Guest::may_be_here,
                               LandingSite::Guest::in_part, LandingSite::Guest::may_be_here};
  return {.direct = !(how & 1),
          .mapped = !(how & 2),
          .part = (how & 4) != 0,
          .ready = !(how & 8),
          .broken = (how & 0x18) == 0x18,
          .answers = (how & 32) != 0,
          .compares = (how & 0x14) != 0x14,
          .guest = kGuests[how >> 6]};
}

// The destination: a session, from waiting for a source to the last word.
class Destination {
 public:
  Destination(Fd door, const GuardedSite::Behaviour& how)
      : site_(how), listener_(Listener::handed_over(std::move(door))) {
    thread_ = std::thread([this, ready = how.ready] { run(ready); });
  }
  // The source has hung up.
  ~Destination() {
    {
      Lock lock(mutex_);
      over_ = true;
      if (session_) session_->leave();
    }
    listener_.stop();
    thread_.join();
  }
  // The VMM does something by itself.
  void vmm(uint8_t what) {
    Lock lock(mutex_);
    if (!session_ || !started_) return;
    const std::array<uint8_t, 40> bytes{what};
    // What fails here fails with the session.
    if (what % 5 == 0) (void)session_->send_back(what % 3, bytes);
    if (what % 5 == 1) (void)session_->close_back(what % 3, what & 64);
    if (what % 5 == 2) session_->ready();
    if (what % 5 == 3) session_->gone();
    if (what % 5 == 4) (void)session_->totals();
  }

 private:
  void run(bool ready) {
    auto accepted = DestinationSession::accept(
        listener_, {.use = FabricWish::Use::never, .provider = {}}, site_,
        [](const nlohmann::json& source) {
          return nlohmann::json{{"source", source}};
        },
        failure_);
    if (!accepted) return;
    DestinationSession& session = **accepted;
    site_.serve(session);
    {
      Lock lock(mutex_);
      session_ = std::move(*accepted);
      if (over_) session.leave();
      if (!session.start()) return;
      started_ = true;
    }
    ++reached.sessions;
    if (ready) session.ready();
    if (session.finish())
      ++reached.done;
    else if (session.keep_word())
      ++reached.told;
  }

  GuardedSite site_;
  const Listener listener_;
  Failure failure_;
  Mutex mutex_;
  bool over_ WHERRY_GUARDED_BY(mutex_) = false;
  bool started_ WHERRY_GUARDED_BY(mutex_) = false;
  std::unique_ptr<DestinationSession> session_ WHERRY_GUARDED_BY(mutex_);
  std::thread thread_;
};

void one_session(std::span<const uint8_t> input) {
  std::array<int, 2> door{};
  PROMISE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, door.data()) == 0);
  const Fd mine(door[0]);
  Destination destination(Fd(door[1]), behaviour(input[0]));
  HostileSource source(mine.get(), [&](uint8_t what) { destination.vmm(what); });
  source.run(input.subspan(1, std::min(input.size() - 1, kMostSteps * Step::kBytes)));
}

}  // namespace
}  // namespace wherry::test

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // scripts/test looks at this line: where one of them is 0, the corpus leads nowhere any more.
  std::atexit([] { std::fprintf(stderr, "reached: %s\n", wherry::test::reached.text().c_str()); });
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > wherry::test::Step::kBytes) wherry::test::one_session({data, size});
  return 0;
}

// Steps stay whole: one is changed, doubled, moved, taken out, or put in.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  constexpr size_t kStep = wherry::test::Step::kBytes;
  const size_t steps = size > 0 ? (size - 1) / kStep : 0;
  if (steps == 0 || seed % 8 == 0) return LLVMFuzzerMutate(data, size, most);
  const size_t which = (seed >> 4) % steps;
  uint8_t* const step = data + 1 + which * kStep;
  uint8_t* const end = data + size;
  const bool room = size + kStep <= most;
  switch (seed % 8) {
    case 1:
      if (!room) break;
      std::memmove(step + kStep, step, static_cast<size_t>(end - step));
      return size + kStep;
    case 2:
      if (!room) break;
      std::memmove(step + kStep, step, static_cast<size_t>(end - step));
      LLVMFuzzerMutate(step, kStep, kStep);
      return size + kStep;
    case 3:
      if (steps < 2) break;
      std::memmove(step, step + kStep, static_cast<size_t>(end - step) - kStep);
      return size - kStep;
    case 4:
      std::swap_ranges(step, step + kStep, data + 1 + (seed >> 16) % steps * kStep);
      return size;
    case 5:  // a twist
      step[6] = static_cast<uint8_t>(192 + (seed >> 20) % 64);
      step[7] = static_cast<uint8_t>(seed >> 12);
      return size;
    default:
      break;
  }
  LLVMFuzzerMutate(step, kStep, kStep);
  return size;
}
