// Chooses how a lane encodes its next batch: the way that lands the most guest pages a second.
//
// A lane encodes a batch, then hands it to the network, which drains while the lane encodes the next. Let t
// be the seconds that a way of encoding takes for a byte of guest pages, o the bytes that it leaves of one,
// and r the bytes a second that the network drains from the lane. Then a byte of guest pages takes about
//
//     (t⁴ + (o/r)⁴)^¼      the longer of the two, and a little more if they are close
//
// t and o are measured for each way on this guest's pages, by all lanes together, separately for pages that
// are sent for the first time and pages that are sent again. Now and then, one of the other ways is tried, in
// turn. A level of zstd that is not measured yet is assumed to be slower than usual by the same factor as the
// best of those that are. What was measured of a way is forgotten gradually while there are no new
// measurements.
//
// r is LinkRate's.
//
// Zstd above level 1 counts only as fast as idle processors allow. If raw pages take no processor time
// (RDMA), that holds for all ways but raw. Encoded pages then take processor time to be sent, too, so a
// network that seems slow while lanes encode need not be slow: r then falls very slowly, and raw pages
// measure it.
//
// Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/mutex.h"
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

  // `idle` returns how many of the machine's processors are idle. It is called every 200 ms at most.
  Chooser(const Compression& wish, size_t lanes, std::function<double()> idle);

  // Sets the bytes a second that the network is assumed to drain until that is measured. To be called before
  // anything is sent.
  void expect(double rate);

  // Raw pages take no processor time at either end (RDMA). So another way has to be better by a margin.
  void raw_is_free();

  Pick choose(size_t lane, Population population);
  // From now on, nothing that is sent needs to be remembered.
  void no_deltas();
  // Reports how a batch was encoded: its bytes before and after, and the time that it took (encoding_time.h).
  void encoded(const Pick& pick, uint64_t guest_bytes, uint64_t wire_bytes,
               std::chrono::duration<double> took);
  // To be called before and after each batch is sent, with the bytes that the lane was given so far, and how
  // many of them the network has not sent yet.
  void network(size_t lane, uint64_t given, uint64_t waiting, Clock::time_point now);

  // The present choice, such as "first: zstd 1, again: delta + zstd 1".
  std::string describe() const;
  // Bytes a second that the network drains from all lanes, measured or assumed.
  double rate() const;
  // Whether rate() was measured.
  bool knows_rate() const;
  // Guest bytes a second at which all lanes land pages that are sent again. Until such pages are measured, it
  // is for pages that are sent for the first time.
  double landing_rate() const;

 private:
  struct Way {
    Encoding encoding;
    double usual = 0;        // seconds for a guest byte, on most machines
    double seconds = usual;  // seconds for a guest byte, on this machine
    double left = 1;         // wire bytes for a guest byte
    bool measured = false;
    bool fresh = false;  // measured since another way was last tried
  };
  struct Choice {
    std::vector<Way> ways;
    size_t at = 0;
    size_t tried = 0;  // the way that was tried last
    uint32_t batches = 0;
  };
  static bool is_raw(const Way& way);
  void expect_of_others() WHERRY_REQUIRES(mutex_);
  void forget(Choice& choice) WHERRY_REQUIRES(mutex_);
  double speed(const Way& way, const Way& present, double rate) const WHERRY_REQUIRES(mutex_);

  const Compression wish_;
  const std::function<double()> idle_;
  mutable Mutex mutex_;
  std::array<Choice, 2> choices_ WHERRY_GUARDED_BY(mutex_);
  LinkRate link_ WHERRY_GUARDED_BY(mutex_);
  // Of each lane: whether its last batch took processor time.
  std::vector<bool> encodes_ WHERRY_GUARDED_BY(mutex_);
  // Factor by which this machine is slower than usual at zstd.
  double slower_ WHERRY_GUARDED_BY(mutex_) = 1;
  double worth_of_raw_ WHERRY_GUARDED_BY(mutex_) = 1;  // factor on the speed of raw pages
  double idle_processors_ WHERRY_GUARDED_BY(mutex_) = 0;
  Clock::time_point idle_asked_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry
