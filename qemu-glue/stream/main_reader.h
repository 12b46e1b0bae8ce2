// Parses QEMU's main migration channel just enough to find the guest's pages.
//
// read() consumes whole elements (a section header, a page record, a footer …) from the front of the bytes
// and reports them. An incomplete element stays for the next call. An element that the reader does not know
// makes the stream opaque from its first byte on: the rest is carried unparsed. So does device state, which
// has no length in the stream.
//
// Not thread-safe. Never fails.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "qemu-glue/stream/foreign_sections.h"
#include "qemu-glue/stream/stream_events.h"
#include "qemu-glue/stream/stream_reader.h"

namespace wherry::qemu {

class MainReader : public StreamReader {
 public:
  // Asks the monitor for the guest's page size in bytes, when the stream does not state it. Nothing: unknown.
  using PageSize = std::function<std::optional<uint32_t>()>;

  explicit MainReader(StreamEvents& events, PageSize page_size = {})
      : events_(events), page_size_{.ask = std::move(page_size)} {}

  size_t read(std::span<uint8_t> bytes) override;
  Want wants(std::span<const uint8_t> remained) const override;

 private:
  // The longest elements are a page of 64 KiB and a command of 64 KiB, with their headers.
  static constexpr size_t kLongestElement = 80 * 1024;
  static constexpr size_t kFileHeader = 8;

  // What the reader expects next.
  enum class State {
    file_header,     // magic, version; configuration follows
    configuration,   // machine type, length-prefixed; subsections follow
    subsections,     // any number, each begins with 0x05; element follows
    element,         // a section or a command
    block_list,      // in START(ram), after the total length: the RAM blocks; ram_records follow
    ram_records,     // in a RAM section: page records up to EOS; footer follows
    foreign_record,  // in another section of known format: records up to its last; footer follows
    footer,          // 0x7e and the section's id; element follows
    opaque,          // never left again
  };
  // Result of one step: it took `took` bytes, or it needs more bytes.
  struct Step {
    size_t took = 0;
    bool needs_more = false;
  };
  static constexpr Step kNeedsMore{0, true};

  Step step(std::span<const uint8_t> bytes);
  Step file_header(std::span<const uint8_t> bytes);
  Step configuration(std::span<const uint8_t> bytes);
  Step subsection(std::span<const uint8_t> bytes);
  Step element(std::span<const uint8_t> bytes);
  Step section_start(std::span<const uint8_t> bytes);
  void name_page_size(uint64_t bytes);
  bool know_page_size();
  Step section_full(std::span<const uint8_t> bytes);
  Step section_more(std::span<const uint8_t> bytes);
  Step command(std::span<const uint8_t> bytes);
  Step block_list(std::span<const uint8_t> bytes);
  Step ram_record(std::span<const uint8_t> bytes);
  Step page_record(std::span<const uint8_t> bytes, uint64_t word, uint64_t flags);
  Step foreign_page(uint64_t word);
  Step foreign(std::span<const uint8_t> bytes);
  void send_footer();
  Step footer(std::span<const uint8_t> bytes);
  // Whether the rest of the stream may hold pages without a block name, which take the block of an earlier
  // page.
  enum class Rest { may_refer_back, stands_alone };
  Step give_up(std::string_view why, Rest rest = Rest::may_refer_back);
  Step keep(std::span<const uint8_t> bytes, size_t length);

  using Format = std::optional<ForeignSection>;  // none: RAM
  // The guest's page size. QEMU names it in the stream only for targets whose page size varies.
  struct GuestPageSize {
    PageSize ask;
    uint32_t bytes = 4096;  // 0: it is too large
    bool named = false;     // by the stream, or by `ask`
  };
  struct Section {
    uint32_t id = 0;
    uint8_t type = 0;  // START, PART, END or FULL
    Format format;
  };
  struct Ram {
    GuestBlocks blocks;
    std::map<std::string, uint16_t, std::less<>> numbers;  // of the blocks, by name
    uint64_t unlisted = 0;  // bytes of RAM whose block the list has not named yet
    int last = -1;          // block of the last page
  };
  // What this stream turned out to be.
  struct Stream {
    bool has_configuration = false;
    bool ignore_shared = false;
    bool postcopy = false;
    bool flush_marks_epochs = false;  // MULTIFD_FLUSH ends an epoch; else the end of a RAM section does
  };

  StreamEvents& events_;
  State state_ = State::file_header;
  GuestPageSize page_size_;
  Stream stream_;
  std::map<uint32_t, Format> sections_;  // by section id, as START gave it
  Section section_;                      // the one that is being read
  Ram ram_;
  uint64_t plain_left_ = 0;   // bytes without structure that come next
  bool footer_sent_ = false;  // START's footer was sent before it arrived
};

}  // namespace wherry::qemu
