#include "qemu-glue/source/way_back.h"

#include <sys/socket.h>

#include "base/start_thread.h"
#include "transport/socket/socket.h"

namespace wherry::qemu {
namespace {

// A postcopy recovery answers with a bitmap of 32 KiB for each GiB of guest.
constexpr size_t kMostUnread = 16 * 1024 * 1024;

}  // namespace

WayBack::WayBack(int connection, std::function<void(Error)> failed)
    : connection_(connection), failed_(std::move(failed)) {}

WayBack::~WayBack() {
  stop();
  if (thread_.joinable()) thread_.join();
}

Result<> WayBack::start() {
  auto writes = start_thread("way back", [this] { run(); });
  if (!writes) return pass_on(writes);
  thread_ = std::move(*writes);
  return {};
}

void WayBack::push(std::vector<uint8_t> bytes) {
  Lock lock(mutex_);
  while (!stopped_ && unread_ >= kMostUnread) changed_.wait(mutex_);
  unread_ += bytes.size();
  queue_.push_back(std::move(bytes));
  changed_.notify_all();
}

void WayBack::close(bool both_ways) {
  Lock lock(mutex_);
  wanted_ = both_ways || wanted_ == Open::no ? Open::no : Open::towards_destination;
  changed_.notify_all();
}

bool WayBack::closed_both_ways() const {
  Lock lock(mutex_);
  return wanted_ == Open::no;
}

void WayBack::drain(std::chrono::seconds longest) {
  const auto until = std::chrono::steady_clock::now() + longest;
  Lock lock(mutex_);
  while (!stopped_ && unread_ > 0 && changed_.wait_until(mutex_, until)) continue;
}

void WayBack::stop() {
  Lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void WayBack::run() {
  Open open = Open::both_ways;
  while (open != Open::no) {
    std::vector<uint8_t> next;
    {
      Lock lock(mutex_);
      while (!stopped_ && open == wanted_ && queue_.empty()) changed_.wait(mutex_);
      if (stopped_) return;
      if (!queue_.empty()) {
        next = std::move(queue_.front());
        queue_.pop_front();
      } else {
        open = wanted_;
      }
    }
    if (next.empty()) {
      ::shutdown(connection_, open == Open::no ? SHUT_RDWR : SHUT_WR);
      continue;
    }
    // Counted beforehand: QEMU may close as soon as it has them, and who reads that looks at the count.
    given_ += next.size();
    auto sent = send_while_taken(connection_, next);
    if (!sent) failed_({fmt::format("the way back to the source's QEMU: {}", sent.error().message)});
    // A source QEMU that has closed no longer wants to know; its own end of the stream says so.
    if (!sent || !*sent) {
      given_ -= next.size();
      break;
    }
    Lock lock(mutex_);
    unread_ -= next.size();
    changed_.notify_all();
  }
  Lock lock(mutex_);
  stopped_ = true;  // push() must not wait for a reader that is gone
  changed_.notify_all();
}

}  // namespace wherry::qemu
