#include "transport/fabric/fabric_listener.h"

#include <netinet/in.h>

#include <algorithm>

#include "base/errno.h"
#include "transport/fabric/fabric_events.h"

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Result<FabricListener> FabricListener::open(FabricDomains& domains, const std::string& provider,
                                            const std::string& address) {
  auto path = fabric::path_at(provider, address);
  if (!path) return pass_on(path);
  FabricListener listener;
  listener.path_ = std::move(*path);
  auto domain = domains.get(*listener.path_);
  if (!domain) return pass_on(domain);
  listener.domain_ = std::move(*domain);
  auto events = fabric::open_events(listener.domain_->fabric());
  if (!events) return pass_on(events);
  listener.events_ = std::move(*events);
  auto endpoint = fabric::make<fid_pep>("opening an endpoint that listens", [&](fid_pep** object) {
    return fi_passive_ep(listener.domain_->fabric(), listener.path_.get(), object, nullptr);
  });
  if (!endpoint) return pass_on(endpoint);
  listener.endpoint_ = std::move(*endpoint);
  int code = fi_pep_bind(listener.endpoint_.get(), &listener.events_->fid, 0);
  if (code == 0) code = fi_listen(listener.endpoint_.get());
  sockaddr_storage where{};
  size_t length = sizeof where;
  if (code == 0) code = fi_getname(&listener.endpoint_->fid, &where, &length);
  if (code != 0) return fail("listening at {}: {}", address, fabric::reason(code));
  listener.port_ = ntohs(where.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(where).sin6_port
                                                     : reinterpret_cast<sockaddr_in&>(where).sin_port);
  return listener;
}

Result<std::unique_ptr<FabricConnection>> FabricListener::accept(const FabricConnection::Shape& shape,
                                                                 std::span<const uint8_t> hello,
                                                                 FabricConnection::Deadline until,
                                                                 const std::function<bool()>& give_up) {
  while (Clock::now() < until && !give_up()) {
    auto event = fabric::next_event(events_.get(), fabric::kEventLook);
    if (!event) return pass_on(event);
    if (!*event || (*event)->kind != FI_CONNREQ) continue;
    fi_info& caller = *(*event)->caller;
    const std::vector<uint8_t>& said = (*event)->data;
    if (said.size() < hello.size() || !std::equal(hello.begin(), hello.end(), said.begin())) {
      fi_reject(endpoint_.get(), caller.handle, nullptr, 0);
      continue;
    }
    if (!domain_->serves(caller)) {
      fi_reject(endpoint_.get(), caller.handle, nullptr, 0);
      return fail("the call came over another device ({})", fabric::device(caller));
    }
    return FabricConnection::answer(domain_, caller, shape, std::move(events_), until);
  }
  return nullptr;
}

}  // namespace wherry
