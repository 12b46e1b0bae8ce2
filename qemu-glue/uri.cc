#include "qemu-glue/uri.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "transport/socket/addresses.h"

namespace wherry {
namespace {

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// A number followed by one of the units; the result is in the smallest unit.
struct Unit {
  std::string_view name;
  double factor;
};
std::optional<double> quantity(std::string_view text, std::initializer_list<Unit> units) {
  for (const Unit& unit : units) {
    if (!text.ends_with(unit.name)) continue;
    auto value = number<double>(text.substr(0, text.size() - unit.name.size()));
    if (value && std::isfinite(*value) && *value >= 0) return *value * unit.factor;
  }
  return std::nullopt;
}

// Parses the text between the brackets of an IPv6 address.
Result<std::string> parse_ipv6(std::string_view text) {
  const size_t percent = text.find('%');
  std::string address(text.substr(0, percent));
  if (percent == std::string_view::npos) {
    if (!lacks_interface(address)) return address;
    return fail("the address [{0}] is link-local: add its interface, like [{0}%25eth0]", address);
  }
  std::string_view interface = text.substr(percent + 1);
  if (interface.starts_with("25")) interface.remove_prefix(2);  // the percent sign of RFC 6874
  if (interface.empty() || interface.find('%') != std::string_view::npos)
    return fail("the address [{}] needs the name of an interface, like [fe80::1%25eth0]", text);
  return fmt::format("{}%{}", address, interface);
}

Result<Endpoint> parse_host(std::string_view text) {
  Endpoint host;
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return fail("the address {} lacks its ]", text);
    auto address = parse_ipv6(text.substr(1, end - 1));
    if (!address) return pass_on(address);
    host.host = std::move(*address);
    std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && !rest.starts_with(':')) return fail("the address {} is malformed", text);
    port = rest.empty() ? rest : rest.substr(1);
  } else {
    const size_t colon = text.find(':');
    if (colon != text.rfind(':')) return fail("the IPv6 address {} must be in brackets", text);
    host.host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon + 1);
  }
  if (host.host.empty()) return fail("the URI names no host");
  host.port = kDefaultPort;
  if (!port.empty()) {
    auto value = number<uint16_t>(port);
    if (!value) return fail("the port {} is not a number up to 65535", port);
    host.port = *value;
  }
  return host;
}

std::optional<Compression::Mode> compression_mode(std::string_view name) {
  using Mode = Compression::Mode;
  static const std::map<std::string_view, Mode> modes{{"auto", Mode::automatic},
                                                      {"off", Mode::off},
                                                      {"zstd", Mode::zstd},
                                                      {"delta", Mode::delta},
                                                      {"delta+zstd", Mode::delta_zstd}};
  const auto found = modes.find(name);
  return found == modes.end() ? std::nullopt : std::optional(found->second);
}

Result<> set(Uri& uri, std::string_view key, std::string_view value) {
  if (key == "streams") {
    auto streams = number<uint32_t>(value);
    if (!streams || *streams < 1 || *streams > 64) return fail("streams={}: expected 1 to 64", value);
    uri.streams = *streams;
  } else if (key == "downtime") {
    auto ms = quantity(value, {{"ms", 1}, {"s", 1000}});
    if (!ms || *ms < 1 || *ms > 2'000'000)
      return fail("downtime={}: expected 1ms to 2000s, like 300ms", value);
    uri.downtime = std::chrono::milliseconds(static_cast<int64_t>(*ms));
  } else if (key == "bandwidth") {
    auto bandwidth = parse_bandwidth(value);
    if (!bandwidth) return fail("bandwidth={}: {}", value, bandwidth.error().message);
    uri.bandwidth = *bandwidth;
  } else if (key == "throttle-max") {
    auto percent = number<unsigned>(value);
    if (!percent || *percent > 99) return fail("throttle-max={}: expected a percentage, 0 to 99", value);
    uri.throttle_most = *percent / 100.0;
  } else if (key == "on-miss") {
    static const std::map<std::string_view, OnMiss> ways{{"continue", OnMiss::go_on},
                                                         {"postcopy", OnMiss::postcopy},
                                                         {"pause", OnMiss::pause},
                                                         {"abort", OnMiss::abort}};
    const auto found = ways.find(value);
    if (found == ways.end()) return fail("on-miss={}: expected continue, postcopy, pause or abort", value);
    uri.on_miss = found->second;
  } else if (key == "resume") {
    auto ms = quantity(value, {{"ms", 1}, {"s", 1000}});
    if (!ms || *ms < 1000 || *ms > 3'600'000) return fail("resume={}: expected 1s to 3600s", value);
    uri.resume = std::chrono::seconds(static_cast<int64_t>(*ms / 1000));
  } else if (key == "placement") {
    auto mode = placement_mode(value);
    if (!mode) return fail("placement={}: expected auto, direct or relay", value);
    uri.placement = *mode;
  } else if (key == "compress") {
    auto mode = compression_mode(value);
    if (!mode) return fail("compress={}: expected auto, off, zstd, delta or delta+zstd", value);
    uri.compression.mode = *mode;
  } else if (key == "level") {
    auto level = number<int>(value);
    if (!level || *level < -50 || *level > 19 || *level == 0)
      return fail("level={}: expected -50 to 19, not 0", value);
    uri.compression.level = level;
  } else if (key == "history") {
    auto bytes = quantity(value, {{"GiB", 1ull << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}});
    if (!bytes || *bytes > 1e15) return fail("history={}: expected a size like 512MiB", value);
    uri.compression.history = static_cast<uint64_t>(*bytes);
  } else if (key == "provider") {
    if (!is_provider(value)) return fail("provider={}: expected a libfabric provider, like verbs", value);
    uri.fabric.provider = value;
  } else if (key == "verify") {
    if (value != "on" && value != "off") return fail("verify={}: expected on or off", value);
    uri.compression.verify = value == "on";
  } else {
    return fail(
        "unknown key \"{}\" in the URI (known: streams, downtime, bandwidth, placement, compress, level, "
        "history, verify, resume, provider, throttle-max, on-miss)",
        key);
  }
  return {};
}

}  // namespace

Result<uint64_t> parse_bandwidth(std::string_view text) {
  if (text == "off") return 0;
  auto bits = quantity(text, {{"Gbps", 1e9}, {"Mbps", 1e6}, {"Kbps", 1e3}});
  if (!bits || *bits < 1e5 || *bits > 1e13)
    return fail("expected a rate like 5Gbps, from 100Kbps to 10000Gbps, or off");
  return static_cast<uint64_t>(*bits / 8);
}

const char* name(PlacementMode mode) {
  return mode == PlacementMode::direct ? "direct" : mode == PlacementMode::relay ? "relay" : "auto";
}

std::optional<PlacementMode> placement_mode(std::string_view text) {
  for (PlacementMode mode : {PlacementMode::automatic, PlacementMode::direct, PlacementMode::relay}) {
    if (text == name(mode)) return mode;
  }
  return std::nullopt;
}

Result<Uri> Uri::parse(std::string_view text) {
  Uri uri;
  uri.text = text;
  std::string_view rest = text;
  using Use = FabricWish::Use;
  for (const auto& [scheme, use] : {std::pair<std::string_view, Use>{"wherry://", Use::prefer},
                                    {"wherry+rdma://", Use::require},
                                    {"wherry+tcp://", Use::never}}) {
    if (!rest.starts_with(scheme)) continue;
    rest.remove_prefix(scheme.size());
    uri.fabric.use = use;
    break;
  }
  if (rest.size() == text.size()) return fail("{}: expected wherry://HOST[:PORT][?key=value…]", text);
  const size_t question = rest.find('?');
  std::string_view hosts = rest.substr(0, question);
  if (const size_t slash = hosts.find('/'); slash != std::string_view::npos) {
    uri.route = hosts.substr(slash + 1);
    hosts = hosts.substr(0, slash);
  }
  for (;;) {
    const size_t comma = hosts.find(',');
    auto host = parse_host(hosts.substr(0, comma));
    if (!host) return fail("{}: {}", text, host.error().message);
    uri.hosts.push_back(std::move(*host));
    if (comma == std::string_view::npos) break;
    hosts.remove_prefix(comma + 1);
  }
  std::string_view keys = question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
  while (!keys.empty()) {
    const size_t end = std::min(keys.find('&'), keys.size());
    const std::string_view pair = keys.substr(0, end);
    keys.remove_prefix(std::min(end + 1, keys.size()));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return fail("{}: \"{}\" lacks a value", text, pair);
    if (auto done = set(uri, pair.substr(0, equals), pair.substr(equals + 1)); !done) {
      return fail("{}: {}", text, done.error().message);
    }
  }
  return uri;
}

bool Uri::is_loopback() const {
  return std::all_of(hosts.begin(), hosts.end(), [](const Endpoint& host) { return host.is_loopback(); });
}

}  // namespace wherry
