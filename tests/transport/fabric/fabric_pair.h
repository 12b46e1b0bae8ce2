// Two connections over a fabric, joined, in this process.
#pragma once

#include <array>
#include <thread>

#include "tests/transport/path.h"
#include "tests/transport/support.h"
#include "transport/fabric/fabric_lane_receiver.h"
#include "transport/fabric/fabric_lane_sender.h"
#include "transport/fabric/fabric_listener.h"

namespace wherry::test {

inline constexpr std::array<uint8_t, 16> kKey{1, 2, 3};

class FabricPair {
 public:
  explicit FabricPair(const Path& path, std::span<const uint8_t> hello = kKey,
                      std::chrono::seconds silence = kForever) {
    const auto until = std::chrono::steady_clock::now() + kForever;
    auto listener = FabricListener::open(destination_domains, path.fabric.provider, path.address);
    if (!listener) {
      fail(listener.error());
      return;
    }
    std::thread accepting([&] {
      auto accepted = listener->accept(fabric_destination_shape(), kKey, until,
                                       [this] { return calling_failed_.load(); });
      if (!accepted) return fail(accepted.error());
      destination = std::move(*accepted);
    });
    auto to = fabric::path_to(path.fabric.provider, path.address, listener->port());
    auto called = to ? FabricConnection::connect(source_domains, **to, fabric_source_shape(), hello, until)
                     : pass_on(to);
    calling_failed_ = !called;
    accepting.join();
    if (!called) {
      fail(called.error());
      return;
    }
    source = std::move(*called);
    auto [a, b] = socket_pair();
    source->adopt(std::make_unique<FrameSocket>(std::move(a), "destination"), silence);
    if (destination) destination->adopt(std::make_unique<FrameSocket>(std::move(b), "source"), silence);
  }

  FabricDomains source_domains;
  FabricDomains destination_domains;
  std::unique_ptr<FabricConnection> source;
  std::unique_ptr<FabricConnection> destination;
  std::string error;

 private:
  void fail(const Error& why) { error += why.message + "; "; }
  std::atomic<bool> calling_failed_ = false;
};

}  // namespace wherry::test
