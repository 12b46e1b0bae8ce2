#include "transport/wire/channel.h"

#include <bit>
#include <set>

#include "base/printable.h"
#include "transport/wire/control.h"

namespace wherry {

std::string_view name(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::main:
      return "main";
    case ChannelKind::data:
      return "data";
    case ChannelKind::urgent:
      return "urgent";
    case ChannelKind::disk:
      return "disk";
  }
  return {};
}

std::string short_name(uint16_t channel) {
  return channel == kMainChannel ? "main" : std::to_string(channel);
}

PageSpace GuestBlocks::space() const {
  PageSpace space{.page_size = page_size, .pages_of_block = {}};
  for (const Block& block : blocks) space.pages_of_block.push_back(block.length / page_size);
  return space;
}

nlohmann::json GuestBlocks::to_json() const {
  nlohmann::json list = nlohmann::json::array();
  for (const Block& block : blocks) list.push_back({{"name", block.name}, {"length", block.length}});
  return {{"page_size", page_size},
          {"page_size_named", page_size_named},
          {"blocks", list},
          {"relay_because", relay_because}};
}

Result<GuestBlocks> GuestBlocks::from_json(const nlohmann::json& map) {
  GuestBlocks result;
  auto page_size = member<uint32_t>(map, "page_size");
  if (!page_size) return pass_on(page_size);
  if (!std::has_single_bit(*page_size) || *page_size < 1024 || *page_size > 65536) {
    return fail("the peer sent a guest page size of {} bytes", *page_size);
  }
  result.page_size = *page_size;
  const auto named = map.find("page_size_named");
  result.page_size_named = named != map.end() && *named == true;
  auto relay_because = peer_text(map, "relay_because");
  if (!relay_because) return pass_on(relay_because);
  result.relay_because = *relay_because;
  auto list = map.find("blocks");
  if (list == map.end() || !list->is_array() || list->size() > kMaxBlocks) {
    return fail("the peer's message has no valid \"blocks\"");
  }
  std::set<std::string> names;
  uint64_t room = kMaxGuestBytes;
  for (const nlohmann::json& entry : *list) {
    if (!entry.is_object()) return fail("the peer's message has no valid \"blocks\"");
    auto name = member<std::string>(entry, "name");
    if (!name) return pass_on(name);
    auto length = member<uint64_t>(entry, "length");
    if (!length) return pass_on(length);
    if (name->empty() || name->size() > 255)
      return fail("the peer sent a RAM block with a name of {} bytes", name->size());
    if (!names.insert(*name).second)
      return fail("the peer sent two RAM blocks named \"{}\"", printable(*name));
    if (*length > room) return fail("the peer sent RAM blocks of more than {} bytes", kMaxGuestBytes);
    room -= *length;
    result.blocks.push_back({*name, *length});
  }
  return result;
}

}  // namespace wherry
