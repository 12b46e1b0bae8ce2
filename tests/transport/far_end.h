// The far end of a test's session: a DestinationSession that lands on a ModelSite, in this process or, where
// the path names a host, in the program far_end there (far_end.cc).
//
// Either does what it is told in orders, arrays [name, argument…], one at a time. To another host they go
// over a TCP connection, each as a length and then CBOR. Both programs are of one build and trust each other.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "tests/transport/cutting_proxy.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/path.h"
#include "tests/transport/support.h"
#include "transport/destination/destination_session.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"

namespace wherry::test {

inline constexpr uint16_t kFarEndPort = 16530;

struct FarEndSetup {
  // As the ModelSite has them.
  bool direct = true;
  bool by_iovec = true;
  uint16_t participants = 0;
  std::vector<uint16_t> relayed{};
  std::map<size_t, CuttingProxy::Fate> fates{};  // of lanes
  std::string provider = "verbs";                // that lanes may go over; FarEnd takes it from the path
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CuttingProxy::Fate, bytes, cut, reset)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FarEndSetup, direct, by_iovec, participants, relayed, fates, provider)

inline Result<> say(const Fd& to, const nlohmann::json& what) {
  const std::vector<uint8_t> text = nlohmann::json::to_cbor(what);
  const uint64_t length = text.size();
  const std::span<const uint8_t> first(reinterpret_cast<const uint8_t*>(&length), sizeof length);
  std::array<iovec, 2> pieces{piece(first), piece(text)};
  return send_all(to.get(), pieces);
}

inline Result<nlohmann::json> hear(const Fd& from) {
  uint64_t length = 0;
  auto more = recv_all(from.get(), {reinterpret_cast<uint8_t*>(&length), sizeof length});
  if (!more) return pass_on(more);
  if (!*more) return fail("the connection ended");
  std::vector<uint8_t> text(length);
  if (more = recv_all(from.get(), text); !more) return pass_on(more);
  if (!*more) return fail("the connection ended");
  return nlohmann::json::from_cbor(text);
}

// The far end itself.
class Destination {
 public:
  // Awaits a source at an address of this host's.
  Destination(const std::string& address, const FarEndSetup& setup)
      : listener_(Listener::open({.path = {}, .host = address, .port = 0})) {
    site_.direct = setup.direct;
    site_.by_iovec = setup.by_iovec;
    site_.participants = setup.participants;
    site_.relayed = setup.relayed;
    if (!listener_) return;
    if (!setup.fates.empty()) proxy_.emplace(listener_->where(), setup.fates);
    accepting_ = std::thread([this, provider = setup.provider] {
      session_ = DestinationSession::accept(
          *listener_, {.provider = provider}, site_,
          [](const nlohmann::json&) {
            return nlohmann::json{{"side", "destination"}};
          },
          failure_);
    });
  }
  ~Destination() {
    if (!accepting_.joinable()) return;
    listener_->stop();
    accepting_.join();
  }

  Result<nlohmann::json> obey(const nlohmann::json& order) {
    const std::string what = order.at(0);
    if (!listener_) return pass_on(listener_);
    if (what == "port") return (proxy_ ? proxy_->where() : listener_->where()).port;
    if (what == "start") accepting_.join();
    if (!session_) return pass_on(session_);
    DestinationSession& session = **session_;
    if (what == "start") return session.start(), nothing();
    if (what == "ready") return session.ready(), nothing();
    if (what == "wishes") return session.wishes();
    if (what == "send_back") return done(session.send_back(order[1], bytes_of(order[2])));
    if (what == "close_back") return done(session.close_back(order[1], order[2]));
    if (what == "finish") return session.finish();
    if (what == "asked_again") return session.totals().landing.asked_again;
    if (what == "placed_pages") return session.totals().landing.placed_pages;
    if (what == "fail") return failure_.fail({order[1]}), nothing();
    if (what == "failed") return failure_.failed();
    if (what == "log") return site_.log(order[1]);
    if (what == "kind") return site_.kind(order[1]);
    if (what == "wait_log") return site_.wait_log(order[1], order[2]);
    if (what == "wait_epochs") return site_.wait_epochs(order[1], order[2]);
    if (what == "too_early") return site_.too_early();
    if (what == "spoil") return site_.spoil(order[1], order[2], order[3]), nothing();
    if (what == "pages") return pages(order[1]);
    if (what == "cut") return proxy_->cut(order[1]), nothing();
    if (what == "cuts") return proxy_ ? proxy_->cuts() : 0;
    return fail("there is no order {}", what);
  }

 private:
  static nlohmann::json nothing() { return nullptr; }
  static Result<nlohmann::json> done(Result<> result) {
    if (!result) return pass_on(result);
    return nothing();
  }
  nlohmann::json pages(uint16_t block) {
    auto all = nlohmann::json::array();
    for (std::vector<uint8_t>& page : site_.pages(block))
      all.push_back(nlohmann::json::binary(std::move(page)));
    return all;
  }

  Result<Listener> listener_;
  ModelSite site_;
  std::optional<CuttingProxy> proxy_;
  Failure failure_;
  Result<std::unique_ptr<DestinationSession>> session_ = fail("there is no session yet");
  std::thread accepting_;
};

// What a test holds of it.
class FarEnd {
 public:
  using Bytes = std::vector<uint8_t>;

  FarEnd(const Path& path, FarEndSetup setup) : host_(path.far_end) {
    setup.provider = path.fabric.provider;
    if (host_.empty()) {
      host_ = path.address;
      here_ = std::make_unique<Destination>(host_, setup);
      return;
    }
    const Endpoint there{.path = {}, .host = host_, .port = kFarEndPort};
    const auto until = std::chrono::steady_clock::now() + kForever / 2;  // it may not run yet
    while (!(there_ = connect_to(there, kForever, kForever)) && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (there_) (void)say(*there_, setup);
  }

  // Where a source reaches it.
  Endpoint where() { return {.path = {}, .host = host_, .port = get("port")}; }
  // Once a source has connected, or has failed to.
  Result<> start() {
    auto started = ask("start");
    if (!started) return pass_on(started);
    return {};
  }
  void ready() { get("ready"); }
  nlohmann::json wishes() { return get("wishes"); }
  void send_back(uint16_t channel, const std::string& text) { get("send_back", channel, text); }
  void close_back(uint16_t channel, bool both_ways) { get("close_back", channel, both_ways); }
  Result<nlohmann::json> finish() { return ask("finish"); }
  uint64_t asked_again() { return get("asked_again"); }
  uint64_t placed_pages() { return get("placed_pages"); }
  void fail(const std::string& why) { get("fail", why); }
  bool failed() { return get("failed"); }
  ModelSite::Log log(uint16_t channel) { return get("log", channel); }
  ChannelKind kind(uint16_t channel) { return get("kind", channel); }
  bool wait_log(uint16_t channel, size_t entries) { return get("wait_log", channel, entries); }
  bool wait_epochs(uint16_t channel, uint32_t epochs) { return get("wait_epochs", channel, epochs); }
  int too_early() { return get("too_early"); }
  void spoil(uint16_t block, uint64_t page, size_t byte) { get("spoil", block, page, byte); }
  std::vector<Bytes> pages(uint16_t block) {
    std::vector<Bytes> pages;
    for (nlohmann::json& page : get("pages", block)) pages.push_back(std::move(page.get_binary()));
    return pages;
  }
  void cut(size_t lane) { get("cut", lane); }
  size_t cuts() { return get("cuts"); }

 private:
  template <class... Words>
  Result<nlohmann::json> ask(const Words&... words) {
    const auto order = nlohmann::json::array({words...});
    Lock lock(asking_);
    if (here_) return here_->obey(order);
    if (!there_) return pass_on(there_);
    if (auto said = say(*there_, order); !said) return pass_on(said);
    auto answer = hear(*there_);
    if (!answer) return pass_on(answer);
    if (answer->contains("error")) return wherry::fail("{}", answer->at("error").get<std::string>());
    return answer->at("is");
  }
  // Of what cannot fail.
  template <class... Words>
  nlohmann::json get(const Words&... words) {
    auto answer = ask(words...);
    if (answer) return std::move(*answer);
    ADD_FAILURE() << "the far end: " << answer.error().message;
    return nullptr;
  }

  std::string host_;
  std::unique_ptr<Destination> here_;
  Result<Fd> there_ = wherry::fail("it is here");
  Mutex asking_;  // held until an order is answered
};

}  // namespace wherry::test
