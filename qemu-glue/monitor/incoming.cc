#include "qemu-glue/monitor/incoming.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "qemu-glue/monitor/json_member.h"

namespace wherry::qemu {
namespace {

// 0: it is none.
uint16_t port_of(const std::string& text) {
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, port);
  return parsed.ec == std::errc() && parsed.ptr == end ? port : uint16_t{0};
}

}  // namespace

std::vector<Endpoint> incoming_addresses(const nlohmann::json& query_migrate) {
  std::vector<Endpoint> all;
  const nlohmann::json* told = member(query_migrate, "socket-address");
  if (told == nullptr || !told->is_array()) return all;
  for (const nlohmann::json& address : *told) {
    const std::string* type = text_member(address, "type");
    const std::string* path = text_member(address, "path");
    const std::string* host = text_member(address, "host");
    const std::string* port = text_member(address, "port");
    if (type == nullptr) continue;
    Endpoint at;
    if (*type == "unix" && path != nullptr) at.path = *path;
    if (*type == "inet" && host != nullptr && port != nullptr) {
      at.host = *host;
      at.port = port_of(*port);
    }
    if (at.is_unix() || at.port != 0) all.push_back(std::move(at));
  }
  return all;
}

Result<> check_waits_at(Monitor& qemu, const Endpoint& at) {
  auto known = qemu.execute("query-migrate");
  if (!known) return pass_on(known);
  const auto all = incoming_addresses(*known);
  // Ports are enough: the machine's loopback has each once.
  const bool waits = std::any_of(all.begin(), all.end(), [&at](const Endpoint& each) {
    return !each.is_unix() && !at.is_unix() && each.port == at.port;
  });
  if (waits) return {};
  return fail("the QEMU of that monitor does not wait at {}: is --qmp another guest's monitor?", at.str());
}

}  // namespace wherry::qemu
