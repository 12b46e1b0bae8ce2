#include "qemu-glue/domain/destination.h"

#include "transport/socket/addresses.h"

namespace wherry::domain {
namespace {

// HOST of [USER@]HOST[:PORT]. An IPv6 address keeps its brackets.
std::string_view host_of(std::string_view authority) {
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

}  // namespace

Result<Destination> Destination::parse(std::string_view text, std::string_view runtime_dir) {
  Destination to;
  const size_t scheme = text.find("://");
  if (text.starts_with("wherry") && scheme != std::string_view::npos)
    return fail("{}: the destination is a peer's name or a libvirt URI; a wherry:// URI belongs to --via",
                text);
  if (scheme != std::string_view::npos) {
    const std::string_view rest = text.substr(scheme + 3);
    to.libvirt = text;
    to.host = host_of(rest.substr(0, rest.find_first_of("/?#")));
    return to;
  }
  if (text.empty() || text.starts_with('.') || text.find_first_of("/?#& ") != std::string_view::npos) {
    return fail(
        "\"{}\" is not a destination: give the name of a peer of wherryd, or the URI of its libvirt, "
        "such as qemu+ssh://hostb/system",
        text);
  }
  to.host = in_uri(std::string(text));
  to.is_peer = true;
  to.peers_socket = fmt::format("{}/{}/libvirt-sock", runtime_dir, text);
  to.libvirt = "qemu+unix:///system?socket=" + to.peers_socket;
  return to;
}

}  // namespace wherry::domain
