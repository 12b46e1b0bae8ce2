// Who has the guest, as far as one end of a migration can tell: what keeps it from running twice, or nowhere.
//
//   cannot ── may_have_it() ─▶ may ── said(0) ─▶ has
//   may ───── fetches() ─────▶ shares ── said(0) ─▶ has
//   may, shares ── said(n) ──▶ has_not     may: also left(), if it would have said so, and never()
//   cannot ── left(), give_up() ─▶ has_not
//
// Each end keeps one: the source's goes by what it has sent, the destination's by what it has written to its
// QEMU, so the source's is never behind. docs/architecture.md ("Who has the guest") has the table of what
// each event means in each state. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "qemu-glue/outcome/outcome.h"

namespace wherry::qemu {

class Ending {
 public:
  // What the destination's QEMU may have.
  enum class State {
    cannot,   // it lacks bytes that it cannot be complete without
    may,      // it may be complete, and only it knows
    shares,   // postcopy: it runs the guest, and fetches what it lacks from the source
    has,      // its word: it is complete
    has_not,  // its word, or it lacks bytes for good
  };

  // The destination's QEMU says on the way back how it went, or does not, for it was not asked to. Neither:
  // it is not known, or cannot be read.
  void will_say();
  void will_not_say();
  // To be called before the first bytes are sent, or written, with which it could be complete. False: the
  // migration was given up before, and they must not be.
  bool may_have_it();
  // It asks for pages, or has passed what makes it run.
  void fetches();
  // Its word: 0, it has the guest. Another one counts only while its stream has not ended: see said() itself.
  void said(uint32_t shut);
  // What its monitor says, where its word cannot be read.
  void asked(bool has_it);
  // It has closed a channel,
  void leaves();
  // and that was the main one, in its direction or in both. A QEMU that does not say how it ends has nothing
  // to end in its own direction.
  void left(bool both_ways);
  // The source's QEMU has closed a channel of the guest's: with something on it unread, or when the
  // destination's had said something behind all that it had got, which may have been its word.
  enum class Heard { not_known, nothing, perhaps };
  void source_left(Heard heard);
  // The main channel ends for the destination's QEMU, though the source's has not closed it.
  void cut();
  // The destination says that its QEMU has not had the bytes, and will not.
  void never();
  // Wherry cannot go on. True: QEMU's connections are to be closed at once, for no guest can be lost or
  // doubled by that. False: the source's QEMU is to notice nothing until the destination's has said its word,
  // or has left without one.
  bool give_up();

  State state() const;
  // Who left first, as the cause of what fails then: a QEMU that ends takes more than its channels along.
  std::optional<Error> cause() const;
  // Whether the destination's QEMU has left the main channel.
  bool over() const;
  // Whether the source's QEMU has left, and cannot have heard the destination's word.
  bool left_without_word() const;
  // What that came to, as far as it is known here. `told`: whether the source knows, or will, what the
  // destination's QEMU has said.
  std::optional<Ended> known(bool told) const;
  // The same, or why it is not known.
  Ended ended(bool told) const;

 private:
  const char* why_not() const;

  mutable std::mutex mutex_;
  State state_ = State::cannot;
  enum class Says { not_known, yes, no } says_ = Says::not_known;
  bool given_up_ = false;
  bool left_ = false;
  bool source_left_ = false;  // without the word
  bool cut_ = false;          // the stream has ended before it
  bool doubtful_ = false;     // its word was that of a QEMU whose stream had ended
  enum class First { nobody, source, destination } first_to_leave_ = First::nobody;
  bool could_not_load_ = false;
};

}  // namespace wherry::qemu
