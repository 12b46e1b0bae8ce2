#include "qemu-glue/source/source_guest.h"

#include "base/printable.h"

namespace wherry::qemu {
namespace {

// The monitor is looked at many times a second, and tells when QEMU is past its setup, which waits for
// nobody.
constexpr std::chrono::seconds kPageSizePatience{2};

}  // namespace

void SourceGuest::publish(const GuestBlocks& blocks) {
  ending_.will_not_say();  // or has been asked to, ahead of them
  Lock lock(mutex_);
  blocks_ = blocks;
  known_.notify_all();
}

void SourceGuest::give_up() {
  Lock lock(mutex_);
  gave_up_ = true;
  known_.notify_all();
}

const GuestBlocks* SourceGuest::wait() {
  Lock lock(mutex_);
  while (!blocks_ && !gave_up_) known_.wait(mutex_);
  return blocks_ ? &*blocks_ : nullptr;
}

void SourceGuest::note_page_size(uint32_t bytes) {
  Lock lock(mutex_);
  page_size_.told = bytes;
  known_.notify_all();
}

void SourceGuest::expect_page_size() {
  Lock lock(mutex_);
  page_size_.expected = true;
}

std::optional<uint32_t> SourceGuest::page_size() {
  const auto until = std::chrono::steady_clock::now() + kPageSizePatience;
  Lock lock(mutex_);
  while (!page_size_.told && page_size_.expected && !gave_up_ && known_.wait_until(mutex_, until)) continue;
  return page_size_.told;
}

uint32_t SourceGuest::participants() {
  // Only the main channel's thread comes here, so what settle_ does needs no lock.
  if (!participants_) participants_ = settle_();
  return *participants_;
}

void SourceGuest::note_pages_done() {
  Lock lock(mutex_);
  pages_done_ = std::chrono::steady_clock::now();
}

std::optional<std::chrono::steady_clock::time_point> SourceGuest::pages_done() const {
  Lock lock(mutex_);
  return pages_done_;
}

void SourceGuest::note_opaque(const std::string& channel, const std::string& why) {
  Lock lock(mutex_);
  opaque_.emplace(channel, printable(why));  // it may quote QEMU's stream
}

std::map<std::string, std::string> SourceGuest::opaque() const {
  Lock lock(mutex_);
  return opaque_;
}

}  // namespace wherry::qemu
