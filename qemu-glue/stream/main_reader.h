// Reads QEMU's main migration channel, just far enough to find the guest's pages.
//
// read() consumes whole elements (a section header, a page record, a footer …) from the front of what it is
// given and reports them; an element that is not there yet as a whole stays for the next call. What the
// reader does not know makes the stream opaque from that byte on: it is carried, never guessed at. Device
// state is such bytes, since it has no length in the stream.
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
  // How large the guest's pages are, where the stream does not say so. Nothing: it is not known either.
  using PageSize = std::function<std::optional<uint32_t>()>;

  explicit MainReader(StreamEvents& events, PageSize page_size = {})
      : events_(events), ask_page_size_(std::move(page_size)) {}

  size_t read(std::span<uint8_t> bytes) override;
  Want wants(std::span<const uint8_t> remained) const override;

 private:
  // A page of 64 KiB, or a command, with what is around them.
  static constexpr size_t kLongestElement = 80 * 1024;
  static constexpr size_t kFileHeader = 8;

  // Where the reader stands, and what may come there:
  enum class State {
    file_header,     // magic, version; then:
    configuration,   // machine type, length-prefixed; then:
    subsections,     // 0x05 … one after the other; then:
    element,         // a section, a command, or the end of what can be parsed
    block_list,      // in START(ram), behind the total: the blocks; then:
    ram_records,     // in a RAM section: page records up to EOS; then:
    foreign_record,  // in another section whose format is known: records up to its own end; then footer
    footer,          // 0x7e and the section's id; then element again
    opaque,          // for ever
  };
  // What one step did: `took` bytes, or it needs more of them.
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
  // Whether the rest may hold pages whose block only an earlier page names.
  enum class Rest { may_refer_back, stands_alone };
  Step give_up(std::string_view why, Rest rest = Rest::may_refer_back);
  Step keep(std::span<const uint8_t> bytes, size_t length);

  StreamEvents& events_;
  const PageSize ask_page_size_;
  State state_ = State::file_header;
  // To QEMU: of one that has always had the same for all its guests, the stream may not say it.
  uint32_t page_size_ = 4096;
  bool page_size_named_ = false;
  bool ignore_shared_ = false;
  bool postcopy_ = false;
  using Format = std::optional<ForeignSection>;  // none: RAM
  std::map<uint32_t, Format> sections_;          // by the ids that START has given them
  uint32_t section_ = 0;                         // the one being read
  Format format_;                                // its format
  uint8_t section_type_ = 0;                     // START, PART, END or FULL
  uint64_t plain_left_ = 0;                      // bytes ahead that have no structure
  uint64_t unlisted_ = 0;                        // bytes of RAM whose block the list has not named yet
  GuestBlocks blocks_;
  std::map<std::string, uint16_t, std::less<>> block_numbers_;
  int last_block_ = -1;
  bool flush_marks_epochs_ = false;  // else the end of each RAM section does
  bool has_configuration_ = false;
  bool footer_sent_ = false;  // START's footer was carried ahead of its coming
};

}  // namespace wherry::qemu
