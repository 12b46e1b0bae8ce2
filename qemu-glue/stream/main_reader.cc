#include "qemu-glue/stream/main_reader.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"
#include "qemu-glue/stream/formats.h"

namespace wherry::qemu {
namespace {

std::string text(const uint8_t* at, size_t length) {
  return {reinterpret_cast<const char*>(at), length};
}

// virtio-mem's early state: u64 addr, region size, block size; u32 node; u64 size; then a bitmap of blocks.
constexpr size_t kVirtioMemFixed = 8 + 8 + 8 + 4 + 8;
constexpr std::string_view kVirtioMemSuffix = "virtio-mem-device-early";

constexpr uint32_t kSmallestPage = 1024;
constexpr uint32_t kLargestPage = 64 * 1024;

}  // namespace

// The file header is read alone, because it is sent ahead of everything else.
StreamReader::Want MainReader::wants(std::span<const uint8_t> remained) const {
  return {kLongestElement, state_ == State::file_header ? kFileHeader - remained.size() : SIZE_MAX};
}

size_t MainReader::read(std::span<uint8_t> bytes) {
  size_t taken = 0;
  while (taken < bytes.size()) {
    const Step done = step(bytes.subspan(taken));
    if (done.needs_more) break;
    taken += done.took;
  }
  return taken;
}

MainReader::Step MainReader::step(std::span<const uint8_t> bytes) {
  if (plain_left_ > 0) {
    const size_t length = std::min<uint64_t>(bytes.size(), plain_left_);
    plain_left_ -= length;
    return keep(bytes, length);
  }
  switch (state_) {
    case State::file_header:
      return file_header(bytes);
    case State::configuration:
      return configuration(bytes);
    case State::subsections:
      return subsection(bytes);
    case State::element:
      return element(bytes);
    case State::block_list:
      return block_list(bytes);
    case State::ram_records:
      return ram_record(bytes);
    case State::foreign_record:
      return foreign(bytes);
    case State::footer:
      return footer(bytes);
    case State::opaque:
      break;
  }
  return keep(bytes, bytes.size());
}

MainReader::Step MainReader::keep(std::span<const uint8_t> bytes, size_t length) {
  events_.record(bytes.first(length));
  return {length};
}

MainReader::Step MainReader::give_up(std::string_view why, Rest rest) {
  state_ = State::opaque;
  events_.opaque(why, rest == Rest::may_refer_back && ram_.last >= 0);
  return {0};
}

MainReader::Step MainReader::file_header(std::span<const uint8_t> bytes) {
  if (bytes.size() < kFileHeader) return kNeedsMore;
  if (be32(&bytes[0]) != kFileMagic) return give_up("it does not begin like a migration stream (TLS?)");
  if (be32(&bytes[4]) != kFileVersion) return give_up("unknown version of the migration stream");
  state_ = State::configuration;
  return keep(bytes, kFileHeader);
}

MainReader::Step MainReader::configuration(std::span<const uint8_t> bytes) {
  if (bytes[0] != kConfiguration) {
    state_ = State::element;
    return {0};
  }
  if (bytes.size() < 5) return kNeedsMore;
  const uint32_t length = be32(&bytes[1]);
  if (length > 255) return give_up("a machine type longer than 255 bytes");
  if (bytes.size() < 5 + length) return kNeedsMore;
  state_ = State::subsections;
  stream_.has_configuration = true;
  return keep(bytes, 5 + length);
}

// u8 0x05, u8 length, name, u32 version, body
MainReader::Step MainReader::subsection(std::span<const uint8_t> bytes) {
  if (bytes[0] != kSubsection) {
    state_ = State::element;
    return {0};
  }
  if (bytes.size() < 2 || bytes.size() < size_t{2} + bytes[1] + 4) return kNeedsMore;
  const std::string name = text(&bytes[2], bytes[1]);
  const size_t body = size_t{2} + bytes[1] + 4;
  if (be32(&bytes[body - 4]) != 1) return give_up("unknown version of the subsection " + name);
  if (name == "configuration/target-page-bits") {
    if (bytes.size() < body + 4) return kNeedsMore;
    const uint32_t bits = be32(&bytes[body]);
    if (bits < 10 || bits > 16) return give_up("unknown target page size");
    name_page_size(1u << bits);
    return keep(bytes, body + 4);
  }
  if (name == "configuration/uuid") {
    if (bytes.size() < body + 16) return kNeedsMore;
    return keep(bytes, body + 16);
  }
  if (name != "configuration/capabilities") return give_up("unknown subsection " + name);
  if (bytes.size() < body + 4) return kNeedsMore;
  const uint32_t count = be32(&bytes[body]);
  if (count > 64) return give_up("more than 64 capabilities");
  size_t at = body + 4;
  bool ignore_shared = false;
  for (uint32_t i = 0; i < count; ++i) {
    if (bytes.size() < at + 1 || bytes.size() < at + 1 + bytes[at]) return kNeedsMore;
    const std::string capability = text(&bytes[at] + 1, bytes[at]);
    if (capability != "x-ignore-shared") return give_up("capability " + capability);
    ignore_shared = true;
    at += size_t{1} + bytes[at];
  }
  stream_.ignore_shared = ignore_shared;
  return keep(bytes, at);
}

MainReader::Step MainReader::element(std::span<const uint8_t> bytes) {
  switch (bytes[0]) {
    case kSectionStart:
      return section_start(bytes);
    case kSectionPart:
    case kSectionEnd:
      return section_more(bytes);
    case kSectionFull:
      return section_full(bytes);
    case kCommand:
      return command(bytes);
    default:
      return give_up("unknown section type");
  }
}

// u8 type, u32 section id, u8 length, name, u32 instance, u32 version
MainReader::Step MainReader::section_start(std::span<const uint8_t> bytes) {
  if (bytes.size() < 6 || bytes.size() < size_t{6} + bytes[5] + 8) return kNeedsMore;
  const std::string name = text(&bytes[6], bytes[5]);
  const size_t payload = size_t{6} + bytes[5] + 8;
  const uint32_t version = be32(&bytes[payload - 4]);
  if (name != "ram") {
    section_.format = foreign_section(name, version);
    if (!section_.format) return give_up("unknown section " + name);
    state_ = State::foreign_record;
  } else {
    if (version != kRamVersion) return give_up("unknown version of the section ram");
    if (bytes.size() < payload + 8) return kNeedsMore;
    if (!know_page_size()) return give_up("unknown target page size");
    const uint64_t word = be64(&bytes[payload]);
    const uint64_t flags = word & (page_size_.bytes - 1);
    if (flags != kRamMemSize || word - flags > kMaxGuestBytes || !ram_.blocks.blocks.empty())
      return give_up("no list of RAM blocks");
    section_.format.reset();
    ram_.blocks.page_size = page_size_.bytes;
    ram_.blocks.page_size_named = page_size_.named;
    ram_.unlisted = word - flags;
    state_ = State::block_list;
  }
  section_.id = be32(&bytes[1]);
  section_.type = kSectionStart;
  sections_[section_.id] = section_.format;
  return keep(bytes, section_.format ? payload : payload + 8);
}

void MainReader::name_page_size(uint64_t bytes) {
  page_size_.bytes = bytes > kLargestPage ? 0 : static_cast<uint32_t>(bytes);
  page_size_.named = true;
}

// False if page records cannot have the page size: their flags are the lowest ten bits of the offset.
bool MainReader::know_page_size() {
  if (!page_size_.named && page_size_.ask) {
    if (const auto told = page_size_.ask()) name_page_size(*told);
  }
  return std::has_single_bit(page_size_.bytes) && page_size_.bytes >= kSmallestPage;
}

// u8 length, name, u64 used length [u64 page size: postcopy with huge pages] [u64 address: x-ignore-shared]
MainReader::Step MainReader::block_list(std::span<const uint8_t> bytes) {
  if (ram_.unlisted == 0) {
    events_.blocks(ram_.blocks, stream_.has_configuration);
    state_ = State::ram_records;
    return {0};
  }
  const size_t length = bytes[0];
  size_t end = 1 + length + 8;
  // The optional page size, or the u64 that follows the list.
  if (bytes.size() < end + 8) return kNeedsMore;
  if (length == 0 || ram_.blocks.blocks.size() >= kMaxBlocks) return give_up("malformed list of RAM blocks");
  const uint64_t used = be64(&bytes[1 + length]);
  if (used > ram_.unlisted) return give_up("malformed list of RAM blocks");
  const uint64_t behind = be64(&bytes[end]);
  // What follows is a page size if it begins with a zero byte (the next block's length is not zero) and is
  // neither of the two records that can follow the list.
  if (stream_.postcopy && bytes[end] == 0 && behind != kRamEos && behind != kRamMultifdFlush) {
    if (!std::has_single_bit(behind) || behind < page_size_.bytes)
      return give_up("malformed page size of a RAM block");
    end += 8;
  }
  if (stream_.ignore_shared) end += 8;
  if (bytes.size() < end) return kNeedsMore;
  ram_.numbers.emplace(text(&bytes[1], length), static_cast<uint16_t>(ram_.blocks.blocks.size()));
  ram_.blocks.blocks.push_back({text(&bytes[1], length), used});
  ram_.unlisted -= used;
  return keep(bytes, end);
}

// u8 type, u32 section id
MainReader::Step MainReader::section_more(std::span<const uint8_t> bytes) {
  if (bytes.size() < 5) return kNeedsMore;
  auto known = sections_.find(be32(&bytes[1]));
  if (known == sections_.end()) return give_up("a section continues without a start");
  section_.id = known->first;
  section_.type = bytes[0];
  section_.format = known->second;
  state_ = section_.format ? State::foreign_record : State::ram_records;
  return keep(bytes, 5);
}

// A whole device state. Only virtio-mem's early state gives its length; any other makes the stream opaque.
MainReader::Step MainReader::section_full(std::span<const uint8_t> bytes) {
  if (bytes.size() < 6 || bytes.size() < size_t{6} + bytes[5]) return kNeedsMore;
  const std::string name = text(&bytes[6], bytes[5]);
  if (!name.ends_with(kVirtioMemSuffix)) return give_up("device state", Rest::stands_alone);
  const size_t payload = size_t{6} + bytes[5] + 8;
  if (bytes.size() < payload + kVirtioMemFixed) return kNeedsMore;
  const uint64_t region = be64(&bytes[payload + 8]);
  const uint64_t block = be64(&bytes[payload + 16]);
  if (block < page_size_.bytes) return give_up("malformed state of a virtio-mem device");
  section_.id = be32(&bytes[1]);
  section_.type = kSectionFull;
  plain_left_ = (region / block + 63) / 64 * 8;
  state_ = State::footer;
  return keep(bytes, payload + kVirtioMemFixed);
}

// u8 type, u16 command, u16 length, body
MainReader::Step MainReader::command(std::span<const uint8_t> bytes) {
  if (bytes.size() < 5) return kNeedsMore;
  const size_t end = size_t{5} + be16(&bytes[3]);
  switch (be16(&bytes[1])) {
    case kCmdOpenReturnPath:
      if (bytes.size() < end) return kNeedsMore;
      events_.return_path_opened();
      return keep(bytes, end);
    case kCmdPostcopyAdvise:
      if (bytes.size() < end) return kNeedsMore;
      // u64 sum of the blocks' page sizes, u64 page size of the guest. Without a body, postcopy is only for
      // dirty bitmaps of disks.
      stream_.postcopy = end > 5;
      if (stream_.postcopy) events_.postcopy_advised();
      if (end == 5 + 16) name_page_size(be64(&bytes[5 + 8]));
      return keep(bytes, end);
    case kCmdPing:
    case kCmdSwitchoverStart:
      if (bytes.size() < end) return kNeedsMore;
      return keep(bytes, end);
    case kCmdPostcopyRamDiscard:
    case kCmdPackaged:
    case kCmdPostcopyListen:
    case kCmdPostcopyRun:
      return give_up("postcopy");
    case kCmdPostcopyResume:
    case kCmdRecvBitmap:
      return give_up("postcopy recovery");
    default:
      return give_up("unknown command");
  }
}

MainReader::Step MainReader::ram_record(std::span<const uint8_t> bytes) {
  if (bytes.size() < 8) return kNeedsMore;
  const uint64_t word = be64(&bytes[0]);
  const uint64_t flags = word & (page_size_.bytes - 1);
  switch (flags & ~kRamContinue) {
    case kRamPage:
    case kRamZero:
      return page_record(bytes, word, flags);
    case kRamEos:
      keep(bytes, 8);
      if (!stream_.flush_marks_epochs) events_.epoch_end();
      state_ = State::footer;
      if (section_.type == kSectionStart && stream_.has_configuration) send_footer();
      return {8};
    case kRamMultifdFlush:
      // QEMU from 8.1 on, with a machine type of that age, marks epochs with this record, starting in START.
      if (section_.type == kSectionStart) stream_.flush_marks_epochs = true;
      keep(bytes, 8);
      if (stream_.flush_marks_epochs) events_.epoch_end();
      return {8};
    case kRamXbzrle:
    case kRamCompress:
      return foreign_page(word);
    default:
      return give_up("a RAM record with unknown flags");
  }
}

// u64 offset and flags [u8 length, block] content
MainReader::Step MainReader::page_record(std::span<const uint8_t> bytes, uint64_t word, uint64_t flags) {
  size_t at = 8;
  int block = ram_.last;
  if (!(flags & kRamContinue)) {
    if (bytes.size() < at + 1 || bytes.size() < at + 1 + bytes[at]) return kNeedsMore;
    auto found =
        ram_.numbers.find(std::string_view(reinterpret_cast<const char*>(&bytes[at] + 1), bytes[at]));
    if (found == ram_.numbers.end()) return give_up("a page of an unknown RAM block");
    block = found->second;
    at += size_t{1} + bytes[at];
  }
  if (block < 0) return give_up("a page that names no RAM block");
  const uint64_t index = word / page_size_.bytes;
  if (index >= ram_.blocks.blocks[block].length / page_size_.bytes)
    return give_up("a page outside its RAM block");
  const bool zero = flags & kRamZero;
  const size_t end = at + (zero ? 1 : page_size_.bytes);
  if (bytes.size() < end) return kNeedsMore;
  if (zero && bytes[at] != 0) return give_up("a page filled with a value other than zero");
  ram_.last = block;
  events_.page(static_cast<uint16_t>(block), index, zero ? nullptr : &bytes[at], page_size_.bytes, end);
  return {end};
}

// A page that QEMU has encoded itself (XBZRLE, compress). The stream is opaque from here on. Earlier pages
// may have been left out of it, so the record is rewritten to name its block.
MainReader::Step MainReader::foreign_page(uint64_t word) {
  give_up(word & kRamXbzrle ? "xbzrle" : "compress", Rest::stands_alone);
  if (!(word & kRamContinue) || ram_.last < 0) return {0};
  const std::string& name = ram_.blocks.blocks[ram_.last].name;
  std::vector<uint8_t> named(8);
  put_be64(named.data(), word & ~kRamContinue);
  named.push_back(static_cast<uint8_t>(name.size()));
  named.insert(named.end(), name.begin(), name.end());
  events_.replacement(std::move(named), 8);
  return {8};
}

MainReader::Step MainReader::foreign(std::span<const uint8_t> bytes) {
  const ForeignRecord record = foreign_record(*section_.format, bytes);
  switch (record.kind) {
    case ForeignRecord::Kind::needs_more:
      return kNeedsMore;
    case ForeignRecord::Kind::unknown:
      return give_up("an unknown record in a section other than RAM");
    case ForeignRecord::Kind::inner:
      plain_left_ = record.data;
      break;
    case ForeignRecord::Kind::last:
      state_ = State::footer;
      break;
  }
  return keep(bytes, record.head);
}

// QEMU keeps the five bytes of START's footer in its buffer until the main channel sends more, which with
// multifd may be after many pages. The setup ends only with this footer. Every machine type whose stream has
// a configuration sends it, so Wherry sends it before it arrives.
void MainReader::send_footer() {
  std::vector<uint8_t> footer(5, kSectionFooter);
  put_be32(&footer[1], section_.id);
  events_.replacement(std::move(footer), 0);
  events_.setup_done();
  footer_sent_ = true;
}

// u8 0x7e, u32 section id; absent with machine types up to 2.3
MainReader::Step MainReader::footer(std::span<const uint8_t> bytes) {
  if (footer_sent_) {
    if (bytes.size() < 5) return kNeedsMore;
    if (bytes[0] != kSectionFooter || be32(&bytes[1]) != section_.id)
      return give_up("a section without a footer");
    footer_sent_ = false;
    state_ = State::element;
    events_.dropped(5);
    return {5};
  }
  const bool last = section_.type == kSectionEnd && !section_.format;
  if (bytes[0] != kSectionFooter) {
    state_ = State::element;
    if (last) events_.pages_done();
    return {0};
  }
  if (bytes.size() < 5) return kNeedsMore;
  if (be32(&bytes[1]) != section_.id) return give_up("the footer of a section that is not open");
  state_ = State::element;
  keep(bytes, 5);
  if (last) events_.pages_done();
  return {5};
}

}  // namespace wherry::qemu
