// What lies between the lanes and the channels of a session at the destination: the site, the guest's pages,
// what the source is told, and what is counted.
//
// Thread-safe, as its members are.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "base/failure.h"
#include "transport/destination/guest_pages.h"
#include "transport/destination/landing_site.h"

namespace wherry {

struct Inflow {
  // Tells the source something about a frame.
  using Tell = std::function<Result<>(uint16_t channel, uint64_t sequence)>;

  Inflow(LandingSite& to, Tell acknowledges, Tell asks_again, Failure& fails)
      : site(to),
        failure(fails),
        acknowledge(std::move(acknowledges)),
        again(std::move(asks_again)),
        guest(to) {}

  LandingSite& site;
  Failure& failure;
  Tell acknowledge;
  Tell again;  // asks for a batch to be sent once more, whole
  GuestPages guest;
  std::atomic<uint64_t> placed_pages = 0;   // written to guest memory by the placement
  std::atomic<uint64_t> relayed_pages = 0;  // given to the channels' sinks instead
  std::atomic<uint64_t> asked_again = 0;    // batches that the source was asked for again
  std::atomic<size_t> held_bytes = 0;       // memory of frames that wait for their turn
};

}  // namespace wherry
