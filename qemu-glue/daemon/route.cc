#include "qemu-glue/daemon/route.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/printable.h"
#include "base/random_key.h"
#include "transport/socket/endpoint.h"

namespace wherry::daemon {
namespace {

constexpr size_t kLongestHost = 64;
constexpr size_t kLongestId = 32;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Host names and addresses, IPv6 included.
bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= kLongestHost &&
         (is_alphanumeric(text.front()) || text.front() == ':') &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_alphanumeric(c) || c == '.' || c == '-' || c == '_' || c == ':';
         });
}

}  // namespace

Result<Route> Route::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  const std::string_view id = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  const bool sound_id =
      !id.empty() && id.size() <= kLongestId && std::all_of(id.begin(), id.end(), is_alphanumeric);
  if (!is_host(host) || !sound_id)
    return fail("\"{}\" is not a route: expected HOST/ID", printable(text, 100));
  return Route{std::string(host), std::string(id)};
}

Result<Route> Route::make(std::string_view host) {
  host = host.substr(0, host.find('%'));
  if (!is_host(host)) return fail("\"{}\" is not a host name", printable(host, 100));
  return Route{std::string(host), fmt::format("{:02x}", fmt::join(random_key<8>(), ""))};
}

Result<> Route::check_paths(const std::string& runtime_dir) const {
  const std::string longest = path(runtime_dir);
  if (longest.size() <= kLongestSocketPath) return {};
  return fail("the socket path {} has {} bytes, {} are allowed: set a shorter runtime_dir, on all hosts",
              longest, longest.size(), kLongestSocketPath);
}

}  // namespace wherry::daemon
