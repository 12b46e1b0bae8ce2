// Chooses how a lane encodes its next batch: what lands the most guest pages a second.
//
// A lane encodes a batch, then hands it to the network, which drains while the lane encodes the next. So with
// t the seconds that a way of encoding takes for a byte of guest pages, o the bytes that it leaves of one,
// and r the rate at which the network drains the lane, a byte takes about
//
//     (t⁴ + (o/r)⁴)^¼      the longer of the two, and a little more where they are close
//
// t and o are measured for each way on this guest's pages, by all lanes together, apart for pages that come
// for the first time and pages that come again; the other ways are tried in turn, now and then. Until a level
// of zstd is, it is taken to be slower than usual by the factor of the best of those that were; what was
// measured of a way is forgotten bit by bit while nothing new is. r is LinkRate's. Zstd above level 1 is only
// taken as far as idle processors bear it. So is all but raw pages where those take no processor's time; what
// is encoded does, to be sent as well, and a network that seems slow meanwhile need not be: r hardly falls
// then, and raw pages measure it.
//
// Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "compression/batch_encoder.h"
#include "compression/compression.h"
#include "transport/flow/link_rate.h"

namespace wherry {

class Chooser {
 public:
  using Clock = LinkRate::Clock;
  enum class Population { first, again };
  struct Pick {
    Encoding encoding;
    Population population;
    size_t way;
  };

  // `idle` says how many of the machine's processors have nothing to do; it is asked seldom.
  Chooser(const Compression& wish, size_t lanes, std::function<double()> idle);

  // What the network is said to drain, until it is measured; before anything is sent.
  void expect(double rate);

  // Pages that go as they are take no processor's time at either end (RDMA): what does must be worth that.
  void raw_is_free();

  Pick choose(size_t lane, Population population);
  // From now on nothing that is sent need be remembered.
  void no_deltas();
  // What a batch came to; `took` is the time of encoding (encoding_time.h).
  void encoded(const Pick& pick, uint64_t guest_bytes, uint64_t wire_bytes,
               std::chrono::duration<double> took);
  // Said around the sending of each batch: the bytes that a lane was given so far, and how many of them the
  // network has not sent yet.
  void network(size_t lane, uint64_t given, uint64_t waiting, Clock::time_point now);

  // What is chosen, like "first: zstd 1, again: delta + zstd 1".
  std::string describe() const;
  // Bytes a second that the network is believed to drain from all lanes.
  double rate() const;
  // Whether that was measured; else it is a guess.
  bool knows_rate() const;
  // Guest bytes a second that all lanes land of pages that come again, as far as that is known.
  double landing_rate() const;

 private:
  struct Way {
    Encoding encoding;
    double usual = 0;        // seconds for a guest byte, on most machines
    double seconds = usual;  // on this one
    double left = 1;         // wire bytes of a guest byte
    bool measured = false;
    bool fresh = false;  // measured since a way was last tried
  };
  struct Choice {
    std::vector<Way> ways;
    size_t at = 0;
    size_t tried = 0;  // the last
    uint32_t batches = 0;
  };
  static bool is_raw(const Way& way);
  void expect_of_others();
  void forget(Choice& choice);
  double speed(const Way& way, const Way& present, double rate) const;

  const Compression wish_;
  const std::function<double()> idle_;
  mutable std::mutex mutex_;
  std::array<Choice, 2> choices_;
  LinkRate link_;
  std::vector<bool> encodes_;  // of each lane: whether its last batch takes processor time
  double slower_ = 1;          // than usual, at zstd
  double worth_of_raw_ = 1;    // its speed counts so many times
  double idle_processors_ = 0;
  Clock::time_point idle_asked_;
};

}  // namespace wherry
