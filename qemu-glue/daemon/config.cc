#include "qemu-glue/daemon/config.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <functional>

#include "qemu-glue/daemon/route.h"
#include "transport/socket/addresses.h"
#include "transport/socket/endpoint.h"

namespace wherry::daemon {
namespace {

std::string line_of(const toml::node& node) {
  return fmt::format("line {}", node.source().begin.line);
}

Result<std::string> text(const toml::node& node) {
  if (auto value = node.value_exact<std::string>()) return *value;
  return fail("expected a quoted string");
}

Result<LibvirtAccess> access_of(std::string_view value) {
  if (value == "manage") return LibvirtAccess::manage;
  if (value == "read-only") return LibvirtAccess::read_only;
  if (value == "none") return LibvirtAccess::none;
  return fail("expected \"manage\", \"read-only\" or \"none\"");
}

Result<LibvirtAccess> access(const toml::node& node) {
  return access_of(node.value_exact<std::string>().value_or(""));
}

// Maps a key to the function that reads its value.
using Keys = std::map<std::string_view, std::function<Result<>(const toml::node&)>>;

template <class T>
std::function<Result<>(const toml::node&)> set(T& to, Result<T> (*read)(const toml::node&)) {
  return [&to, read](const toml::node& node) -> Result<> {
    auto value = read(node);
    if (!value) return pass_on(value);
    to = std::move(*value);
    return {};
  };
}

Result<> read_table(const toml::table& table, const std::string& name, const Keys& keys) {
  for (const auto& [key, node] : table) {
    const auto known = keys.find(key.str());
    if (known == keys.end()) {
      std::string all;
      for (const auto& [each, read] : keys) all += (all.empty() ? "" : ", ") + std::string(each);
      return fail("{}: unknown key \"{}{}\" (known here: {})", line_of(node), name, key.str(), all);
    }
    if (auto read = known->second(node); !read) {
      return fail("{}: {}{}: {}", line_of(node), name, key.str(), read.error().message);
    }
  }
  return {};
}

Result<> read_peer(const std::string& name, const toml::node& node, Config& config) {
  const toml::table* table = node.as_table();
  if (!table) return fail("{}: expected a table [peers.{}]", line_of(node), name);
  std::string address;
  std::optional<LibvirtAccess> libvirt;
  std::string uri;
  const auto rights = [&](const toml::node& value) -> Result<> {
    auto given = access(value);
    if (!given) return pass_on(given);
    libvirt = *given;
    return {};
  };
  const auto migration = [&](const toml::node& value) -> Result<> {
    auto given = text(value);
    auto parsed = given ? Uri::parse(*given) : pass_on(given);
    if (!parsed) return pass_on(parsed);
    uri = std::move(*given);
    return {};
  };
  auto read = read_table(*table, "peers." + name + ".",
                         {{"address", set(address, text)}, {"libvirt", rights}, {"uri", migration}});
  if (!read) return read;
  auto peer = parse_peer(name + "=" + address);
  if (!peer) return fail("{}: {}", line_of(node), peer.error().message);
  peer->libvirt = libvirt;
  peer->uri = std::move(uri);
  config.peers[name] = std::move(*peer);
  return {};
}

Result<Config> from_table(const toml::table& table) {
  if (const toml::node* group = table.get("group")) {
    return fail(
        "{}: `group` is two keys now, because it gave every guest's QEMU the libvirt of all peers. Set "
        "qemu_user to "
        "the user that QEMU runs as (on Debian \"libvirt-qemu\"). If others than root are to use the "
        "gateways, set "
        "administrators to their group",
        line_of(*group));
  }
  Config config;
  const auto listen = [&](const toml::node& node) -> Result<> {
    auto value = text(node);
    auto uri = value ? Uri::parse(*value) : pass_on(value);
    if (!uri) return pass_on(uri);
    config.listen = std::move(*uri);
    return {};
  };
  const auto insecure = [&](const toml::node& node) -> Result<> {
    const auto value = node.value_exact<bool>();
    if (!value) return fail("expected true or false");
    config.insecure = *value;
    return {};
  };
  const auto libvirt = [&](const toml::node& node) -> Result<> {
    auto value = text(node);
    auto socket = value ? libvirt_socket(*value) : pass_on(value);
    if (!socket) return pass_on(socket);
    config.libvirt = std::move(*socket);
    return {};
  };
  const auto route_timeout = [&](const toml::node& node) -> Result<> {
    const auto value = node.value_exact<int64_t>();
    if (!value || *value < 1 || *value > 3600) return fail("expected 1 to 3600 (seconds)");
    config.route_timeout = std::chrono::seconds(*value);
    return {};
  };
  const auto bandwidth = [&](const toml::node& node) -> Result<> {
    auto value = text(node);
    auto rate = value ? parse_bandwidth(*value) : pass_on(value);
    if (!rate) return pass_on(rate);
    config.bandwidth = *rate;
    return {};
  };
  const auto peers = [&](const toml::node& node) -> Result<> {
    const toml::table* all = node.as_table();
    if (!all) return fail("expected tables [peers.NAME]");
    for (const auto& [name, peer] : *all) {
      if (auto read = read_peer(std::string(name.str()), peer, config); !read) return read;
    }
    return {};
  };
  auto read = read_table(table, "",
                         {{"listen", listen},
                          {"insecure", insecure},
                          {"runtime_dir", set(config.runtime_dir, text)},
                          {"qemu_user", set(config.qemu_user, text)},
                          {"administrators", set(config.administrators, text)},
                          {"trace", set(config.trace, text)},
                          {"libvirt", libvirt},
                          {"others", set(config.others, access)},
                          {"route_timeout", route_timeout},
                          {"bandwidth", bandwidth},
                          {"peers", peers}});
  if (!read) return pass_on(read);
  return config;
}

}  // namespace

Result<Config> Config::read(const std::string& file) {
  const toml::parse_result parsed = toml::parse_file(file);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    const auto line = error.source().begin.line;
    return fail("{}:{} {}", file, line ? fmt::format(" line {}:", line) : "", error.description());
  }
  auto config = from_table(parsed.table());
  if (!config) return fail("{}: {}", file, config.error().message);
  if (auto sound = config->check(); !sound) return fail("{}: {}", file, sound.error().message);
  return config;
}

bool Config::crosses_network() const {
  const auto exposed = [](const std::vector<Endpoint>& hosts) {
    return std::any_of(hosts.begin(), hosts.end(), [](const Endpoint& host) { return !host.is_loopback(); });
  };
  return (listen && exposed(listen->hosts)) || std::any_of(peers.begin(), peers.end(), [&](const auto& peer) {
           return exposed(peer.second.hosts);
         });
}

Result<> Config::check() const {
  if (!listen && peers.empty()) return fail("nothing to do: neither listen nor a peer is given");
  if (crosses_network() && !insecure) {
    return fail(
        "guest memory would cross the network in the clear, open to anyone on it. Give --insecure, or set "
        "insecure = true, if that network is trusted (Wherry does not encrypt yet)");
  }
  if (!runtime_dir.starts_with('/')) return fail("runtime_dir: {} is not an absolute path", runtime_dir);
  for (const auto& [name, peer] : peers) {
    auto route = Route::make(name);
    auto fits = route ? route->check_paths(runtime_dir) : pass_on(route);
    if (!fits) return fail("peer {}: {}", name, fits.error().message);
  }
  return {};
}

Result<Peer> parse_peer(const std::string& text) {
  constexpr std::string_view kLibvirt = ",libvirt=";
  const size_t equals = text.find('=');
  Peer peer;
  peer.name = text.substr(0, equals);
  std::string addresses = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (const size_t at = addresses.find(kLibvirt); at != std::string::npos) {
    auto access = access_of(std::string_view(addresses).substr(at + kLibvirt.size()));
    if (!access) return fail("peer {}: libvirt: {}", text, access.error().message);
    peer.libvirt = *access;
    addresses.resize(at);
  }
  if (addresses.empty()) return fail("peer {}: expected NAME=ADDRESS, like hostb=192.0.2.7", text);
  if (auto route = Route::make(peer.name); !route) return fail("peer {}: {}", text, route.error().message);
  auto uri = Uri::parse("wherry://" + addresses);
  if (!uri) return fail("peer {}: {}", text, uri.error().message);
  peer.hosts = std::move(uri->hosts);
  for (Endpoint& host : peer.hosts) {
    auto address = numeric(host.host);
    if (!address) {
      return fail(
          "peer {}: {} is not an address of a host. A peer is known by its addresses, and whoever answers "
          "for a "
          "name could choose them: write them, like 192.0.2.7 (`getent ahosts {}` prints those of a name)",
          peer.name, host.host, host.host);
    }
    host.host = std::move(*address);
  }
  return peer;
}

Result<std::string> libvirt_socket(const std::string& uri) {
  if (uri == "qemu:///system") return std::string("/run/libvirt/libvirt-sock");
  const std::string prefix = "qemu+unix:///system?socket=";
  if (uri.starts_with(prefix + "/")) return uri.substr(prefix.size());
  return fail("{}: expected qemu:///system or qemu+unix:///system?socket=PATH", uri);
}

}  // namespace wherry::daemon
