// Who has the guest, as far as one end of a migration can tell. This keeps the guest from running twice, or
// nowhere.
//
//   cannot ── may_have_it() ─▶ may ── said(0) ─▶ has
//   may ───── fetches() ─────▶ shares ── said(0) ─▶ has
//   may, shares ── said(n) ──▶ has_not
//   may ───── never(), or left() of a QEMU that would have sent SHUT 0 ─▶ has_not
//   cannot ── left(), give_up() ─▶ has_not
//
// Each end has one. The source's goes by what it has sent, the destination's by what it has written to its
// QEMU, so the source's never lags behind. docs/architecture.md ("Who has the guest") has the table of what
// each event means in each state. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "base/mutex.h"
#include "base/result.h"
#include "qemu-glue/outcome/outcome.h"

namespace wherry::qemu {

class Ending {
 public:
  // Whether the destination's QEMU has the guest.
  enum class State {
    cannot,   // it lacks bytes that it needs
    may,      // it may be complete, and only it knows
    shares,   // postcopy: it runs the guest, and fetches what it lacks from the source
    has,      // it said that it is complete
    has_not,  // it said that it failed, or it lacks bytes for good
  };

  // Whether the destination's QEMU will send SHUT on the return path. Call neither if that is not known, or
  // if SHUT cannot be read.
  void will_say();
  void will_not_say();
  // Call this before sending or writing the first bytes with which the destination's QEMU could be complete.
  // False: the migration was given up before, and the bytes must not be sent.
  bool may_have_it();
  // The destination's QEMU asks for pages, or has answered the PING after postcopy's package.
  void fetches();
  // The destination's QEMU has sent SHUT: 0 means that it has the guest. Another value counts only if its
  // stream was not cut; see the definition.
  void said(uint32_t shut);
  // The answer of the destination's monitor, where SHUT cannot be read.
  void asked(bool has_it);
  // The destination's QEMU has closed a channel.
  void leaves();
  // The destination's QEMU has closed the main channel, in one direction or both. Closing only its own
  // direction means nothing if it does not send SHUT.
  void left(bool both_ways);
  // The source's QEMU has closed a channel. `heard`: whether it may have read the destination's SHUT.
  //   nothing: it cannot have; it closed the channel with unread bytes on it
  //   perhaps: the destination's QEMU had sent something after it got its last bytes, maybe SHUT
  //   not_known: neither
  enum class Heard { not_known, nothing, perhaps };
  void source_left(Heard heard);
  // The main channel ended for the destination's QEMU, although the source's QEMU has not closed it.
  void cut();
  // The destination says that its QEMU has not got the bytes of may_have_it(), and will not.
  void never();
  // Wherry cannot go on. True: close QEMU's connections at once; the guest can neither be lost nor run twice
  // by that. False: the source's QEMU must notice nothing until the destination's has sent SHUT or has left.
  bool give_up();

  State state() const;
  // Which QEMU left first, as the cause of later failures: a QEMU that ends also fails other connections.
  std::optional<Error> cause() const;
  // Whether the destination's QEMU has left the main channel.
  bool over() const;
  // Whether the source's QEMU has left and cannot have read the destination's SHUT.
  bool left_without_word() const;
  // The outcome, if it is known here. `told`: whether the source knows, or will know, what the destination's
  // QEMU said.
  std::optional<Ended> known(bool told) const;
  // The outcome, or Outcome::unknown with the reason.
  Ended ended(bool told) const;

 private:
  const char* why_not() const WHERRY_REQUIRES(mutex_);

  mutable Mutex mutex_;
  State state_ WHERRY_GUARDED_BY(mutex_) = State::cannot;
  enum class Says { not_known, yes, no } says_ WHERRY_GUARDED_BY(mutex_) = Says::not_known;
  bool given_up_ WHERRY_GUARDED_BY(mutex_) = false;
  bool left_ WHERRY_GUARDED_BY(mutex_) = false;
  // The source's QEMU has left without having read SHUT.
  bool source_left_ WHERRY_GUARDED_BY(mutex_) = false;
  // The main channel ended for the destination's QEMU before SHUT came.
  bool cut_ WHERRY_GUARDED_BY(mutex_) = false;
  bool doubtful_ WHERRY_GUARDED_BY(mutex_) = false;  // SHUT with an error came after the stream was cut
  enum class First { nobody, source, destination } first_to_leave_ WHERRY_GUARDED_BY(mutex_) = First::nobody;
  bool could_not_load_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry::qemu
