#include "qemu-glue/memory/ram_blocks.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "qemu-glue/monitor/json_member.h"

namespace wherry {

namespace {

using qemu::member;
using qemu::text_member;

using nlohmann::json;

// One row of `info ramblock`.
struct Row {
  std::string name;
  uint64_t used = 0;
  uint64_t total = 0;
  std::optional<uint64_t> address;
  bool read_only = false;
};

// One line of the flat view: a piece of RAM that the guest sees.
struct Piece {
  uint64_t guest_address = 0;
  uint64_t length = 0;
  std::string region;   // name of the memory region: the block's name without the device prefix
  uint64_t offset = 0;  // bytes from the start of the region
};

std::optional<uint64_t> hex(std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    lines.push_back(line);
  }
  return lines;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (;;) {
    size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos) return words;
    line.remove_prefix(start);
    size_t end = std::min(line.find_first_of(" \t"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

//   Block Name  PSize              Offset               Used              Total                HVA  RO
//       pc.ram  4 KiB  0x0000000000000000 0x0000000008002000 0x0000000008002000 0x00007f3683e00000  rw
//
// Columns are found by the words of the header, so an additional column does no harm. A row is read from its
// right end, because only the name can contain blanks.
std::vector<Row> parse_ram_block_table(std::string_view text) {
  std::vector<Row> rows;
  auto lines = lines_of(text);
  if (lines.empty()) return rows;
  auto header = words_of(lines.front());
  constexpr size_t kBeforeColumns = 3;  // "Block", "Name", "PSize"
  if (header.size() <= kBeforeColumns || header[0] != "Block" || header[1] != "Name" ||
      header[2] != "PSize") {
    return rows;
  }
  std::map<std::string_view, size_t> column;
  size_t columns = header.size() - kBeforeColumns;
  for (size_t i = 0; i < columns; ++i) column.emplace(header[kBeforeColumns + i], i);
  if (!column.contains("Used") || !column.contains("Total")) return rows;

  for (size_t i = 1; i < lines.size(); ++i) {
    auto words = words_of(lines[i]);
    // The page size is two words ("4 KiB").
    if (words.size() < columns + 3) continue;
    auto cell = [&](std::string_view name) { return words[words.size() - columns + column[name]]; };
    std::string_view page_unit = words[words.size() - columns - 1];
    std::string_view page_count = words[words.size() - columns - 2];
    if (!page_unit.ends_with("B") || page_count.find_first_not_of("0123456789.") != std::string_view::npos)
      continue;
    Row row;
    row.name.assign(words[0].begin(), page_count.begin());  // both point into the same line
    while (!row.name.empty() && row.name.back() == ' ') row.name.pop_back();
    auto used = hex(cell("Used"));
    auto total = hex(cell("Total"));
    if (!used || !total || *used > *total) continue;
    row.used = *used;
    row.total = *total;
    if (column.contains("HVA")) {
      auto address = hex(cell("HVA"));
      if (!address || *address == 0 || *address > std::numeric_limits<uint64_t>::max() - row.total) continue;
      row.address = address;
    }
    if (column.contains("RO")) row.read_only = cell("RO") != "rw";
    rows.push_back(std::move(row));
  }
  return rows;
}

//  AS "memory", root: system
//   0000000000100000-0000000008001fff (prio 0, ram): pc.ram @0000000000100000 KVM
// Only the view named "memory" counts, because gpa2hva uses it. Pieces that are read-only, non-volatile or of
// a device have another word than "ram" and are left out.
std::vector<Piece> parse_flat_view(std::string_view text) {
  std::vector<Piece> pieces;
  bool in_memory = false;
  for (std::string_view line : lines_of(text)) {
    if (line.starts_with("FlatView ")) in_memory = false;
    if (line.starts_with(" AS \"memory\",")) in_memory = true;
    if (!in_memory || !line.starts_with("  ")) continue;
    auto words = words_of(line);
    // 0: range, 1: "(prio", 2: "0,", 3: "ram):", 4: name, 5: "@offset"; accelerators may follow.
    if (words.size() < 5 || words[1] != "(prio" || words[3] != "ram):") continue;
    size_t dash = words[0].find('-');
    if (dash == std::string_view::npos) continue;
    auto first = hex(words[0].substr(0, dash));
    auto last = hex(words[0].substr(dash + 1));
    if (!first || !last || *last < *first || *last - *first == std::numeric_limits<uint64_t>::max()) continue;
    Piece piece{*first, *last - *first + 1, std::string(words[4]), 0};
    if (words.size() > 5 && words[5].starts_with("@")) {
      auto offset = hex(words[5].substr(1));
      if (!offset) continue;
      piece.offset = *offset;
    }
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

// Parses "Host virtual address for 0x100000 (pc.ram) is 0x7f77e963f000". Nothing if it names another region.
std::optional<uint64_t> parse_host_address(std::string_view text, uint64_t guest_address,
                                           const std::string& region) {
  auto lines = lines_of(text);
  if (lines.empty()) return std::nullopt;
  std::string expected = fmt::format("Host virtual address for {:#x} ({}) is 0x", guest_address, region);
  if (!lines.front().starts_with(expected)) return std::nullopt;
  return hex(lines.front().substr(expected.size()));
}

bool names_region(const std::string& block, std::string_view region) {
  return block == region || (block.size() > region.size() && block.ends_with(region) &&
                             block[block.size() - region.size() - 1] == '/');
}

// The address of a block's first byte in QEMU, computed from both ends of every piece of it that the guest
// sees; nothing unless all agree. Between the ends of a piece, QEMU's memory of a block is contiguous.
Result<std::optional<uint64_t>> ask_host_address(Monitor& monitor, const std::vector<Piece>& pieces,
                                                 const Row& row) {
  std::optional<uint64_t> start;
  for (const Piece& piece : pieces) {
    if (!names_region(row.name, piece.region)) continue;
    if (piece.offset > row.used || piece.length > row.used - piece.offset) return std::optional<uint64_t>();
    for (uint64_t at : {uint64_t{0}, piece.length - 1}) {
      auto answer = monitor.human(fmt::format("gpa2hva {:#x}", piece.guest_address + at));
      if (!answer) return pass_on(answer);
      auto address = parse_host_address(*answer, piece.guest_address + at, piece.region);
      if (!address || *address < piece.offset + at) return std::optional<uint64_t>();
      uint64_t candidate = *address - piece.offset - at;
      if (candidate == 0 || candidate % 4096 != 0 || (start && *start != candidate))
        return std::optional<uint64_t>();
      start = candidate;
    }
  }
  if (start && *start > std::numeric_limits<uint64_t>::max() - row.total) start.reset();
  return start;
}

// The memory backends that are plain RAM to the guest, with their sizes in bytes. Those of virtio-mem,
// virtio-pmem, NVDIMM and the like are not: parts may be unplugged, or they are storage.
Result<std::map<std::string, uint64_t>> plain_backends(Monitor& monitor) {
  auto devices = monitor.execute("query-memory-devices");
  if (!devices) return pass_on(devices);
  auto backends = monitor.execute("query-memdev");
  if (!backends) return pass_on(backends);
  if (!devices->is_array() || !backends->is_array()) {
    return fail("QEMU's answer to query-memdev or query-memory-devices is not a list");
  }

  std::set<std::string> special;
  for (const json& device : *devices) {
    const std::string* type = text_member(device, "type");
    if (type != nullptr && *type == "dimm") continue;
    const json* data = member(device, "data");
    const std::string* path = data == nullptr ? nullptr : text_member(*data, "memdev");
    if (path == nullptr) continue;
    special.insert(path->substr(path->rfind('/') + 1));  // "/objects/vm0"; npos + 1 is 0
  }
  std::map<std::string, uint64_t> plain;
  for (const json& backend : *backends) {
    const std::string* id = text_member(backend, "id");
    const json* size = member(backend, "size");
    if (id == nullptr || id->empty() || size == nullptr || !size->is_number_unsigned()) continue;
    if (!special.contains(*id)) plain.emplace(*id, size->get<uint64_t>());
  }
  return plain;
}

Result<std::string> ram_block_table(Monitor& monitor) {
  // The QMP command is unstable and may be removed; the HMP command shows the same table.
  auto answer = monitor.execute("x-query-ramblock");
  if (answer) {
    if (const std::string* text = text_member(*answer, "human-readable-text")) return *text;
  }
  return monitor.human("info ramblock");
}

}  // namespace

Result<std::vector<RamBlockPlace>> find_ram_blocks(Monitor& monitor) {
  auto table = ram_block_table(monitor);
  if (!table) return pass_on(table);
  auto backends = plain_backends(monitor);
  if (!backends) return pass_on(backends);
  std::vector<Row> rows = parse_ram_block_table(*table);

  // Each backend and each name must belong to exactly one block; if two blocks match, neither is plain.
  auto is_plain = [&](const Row& row) {
    if (row.read_only || row.used == 0 || row.used != row.total) return false;
    for (const auto& [id, size] : *backends) {
      if (!names_region(row.name, id) || size > row.total) continue;
      return std::count_if(rows.begin(), rows.end(),
                           [&id = id](const Row& other) { return names_region(other.name, id); }) == 1;
    }
    return false;
  };

  std::optional<std::vector<Piece>> pieces;
  std::vector<RamBlockPlace> places;
  for (const Row& row : rows) {
    bool plain = is_plain(row);
    std::optional<uint64_t> address = row.address;
    // This costs two commands for each piece, so only plain blocks are asked for.
    if (!address && plain) {
      if (!pieces) {
        auto view = monitor.human("info mtree -f");
        if (!view) return pass_on(view);
        pieces = parse_flat_view(*view);
      }
      auto asked = ask_host_address(monitor, *pieces, row);
      if (!asked) return pass_on(asked);
      address = *asked;
    }
    if (address) places.push_back({row.name, *address, row.used, plain});
  }
  return places;
}

}  // namespace wherry
