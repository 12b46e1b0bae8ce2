#include "qemu-glue/cli/arguments.h"

#include <charconv>

namespace wherry::cli {

Result<Endpoint> qemu_endpoint(const char* option, const std::string& text) {
  Endpoint at;
  if (text.starts_with("unix:")) {
    at.path = text.substr(5);
    if (at.path.empty()) return fail("{} {}: the path is missing", option, text);
    if (at.path.size() > kLongestSocketPath)
      return fail("{} {}: the path is longer than {} bytes", option, text, kLongestSocketPath);
    return at;
  }
  const size_t colon = text.rfind(':');
  if (!text.starts_with("tcp:") || colon <= 4) {
    return fail("{} {}: expected unix:PATH, or tcp:HOST:PORT on loopback", option, text);
  }
  at.host = text.substr(4, colon - 4);
  if (at.host.starts_with('[') && at.host.ends_with(']')) at.host = at.host.substr(1, at.host.size() - 2);
  const char* begin = text.data() + colon + 1;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(begin, end, at.port);
  if (error != std::errc{} || stop != end || begin == end)
    return fail("{} {}: the port is not a number", option, text);
  if (!at.is_loopback())
    return fail("{} {}: the connection to QEMU is not encrypted; use unix: or loopback", option, text);
  return at;
}

Result<std::optional<Endpoint>> disks_endpoint(const std::string& text) {
  if (text.empty()) return std::nullopt;
  auto at = qemu_endpoint("--disks", text);
  if (!at) return pass_on(at);
  return std::move(*at);
}

std::string monitor_path(const std::string& text) {
  for (const char* prefix : {"unix:", "qmp:"}) {
    if (text.starts_with(prefix)) return text.substr(std::string_view(prefix).size());
  }
  return text;
}

Result<std::unique_ptr<Trace>> open_trace(const std::string& path) {
  if (path.empty()) return nullptr;
  return Trace::open(path);
}

Result<Uri> peer_uri(const std::string& text, bool insecure) {
  auto uri = Uri::parse(text);
  if (!uri) return uri;
  if (!insecure && !uri->is_loopback()) {
    return fail(
        "{}: guest memory would cross the network in the clear, open to anyone on it. "
        "Give --insecure if that network is trusted (Wherry does not encrypt yet)",
        text);
  }
  return uri;
}

}  // namespace wherry::cli
