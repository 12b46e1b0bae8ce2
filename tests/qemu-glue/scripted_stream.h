// The bytes of a scripted migration, in the steps in which its source writes them, and the progress of a
// destination that reads them, even if Wherry has inserted a PING or left pages out.
#pragma once

#include <algorithm>
#include <string_view>

#include "base/bytes.h"
#include "tests/qemu-glue/script.h"
#include "tests/qemu-glue/stream/support.h"

namespace wherry::qemu::test {

// The steps: header, START, a pass, a pass, END, the first device, the end. A destination's Moment is the end
// of a step.
inline constexpr size_t kSteps = 7;
inline size_t step_of(Moment moment) {
  static constexpr size_t steps[] = {0, 1, 3, 4, 5, 6};
  return steps[static_cast<size_t>(moment)];
}

inline constexpr uint32_t kScriptedRam = 2;  // the section's id
inline constexpr uint64_t kScriptedPages = 16;
inline constexpr std::string_view kScriptedDevice = "timer";
inline constexpr std::string_view kScriptedEnd = "{\"scripted\":\"end\"}";

// Looks like a handshake and a cipher to anything between the two QEMUs.
inline ByteVector scripted_hello() {
  return {0x16, 3, 1, 0, 4, 'h', 'e', 'y'};
}
inline void scripted_cipher(const Script& script, std::span<uint8_t> bytes) {
  if (script.opaque != Opaque::start) return;
  for (uint8_t& byte : bytes) byte ^= 0xa5;
}

// The bytes by channel and step.
inline std::vector<std::vector<ByteVector>> scripted_stream(const Script& script) {
  const auto footer = [](uint32_t id) { return Bytes().u8(kSectionFooter).u32(id); };
  const auto section = [](uint8_t type, uint32_t id, const std::string& name, uint32_t version) {
    return Bytes().u8(type).u32(id).text(name).u32(0).u32(version);
  };
  const auto command = [](uint16_t number, const ByteVector& body) {
    return Bytes().u8(kCommand).u16(number).u16(static_cast<uint16_t>(body.size())).add(body);
  };
  const Bytes unknown = Bytes().add(section(kSectionStart, 7, "novel", 1)).fill(20, 0x44).add(footer(7));
  const auto pass = [&](uint8_t type, uint8_t value, bool encoded) {
    Bytes bytes;
    bytes.u8(type).u32(kScriptedRam);
    if (value && script.data == 0) {
      bytes.u64(0 | kRamPage).text("pc.ram").fill(kPage, value);
      bytes.u64(5 * kPage | kRamPage | kRamContinue).fill(kPage, value);
    }
    if (encoded) bytes.u64(7 * kPage | kRamXbzrle).text("pc.ram").u8(1).u16(2).u8(0x10).u8(0x11);
    return bytes.u64(kRamEos).add(footer(kScriptedRam));
  };
  std::vector<std::vector<ByteVector>> stream(script.channels(), std::vector<ByteVector>(kSteps));
  auto& main = stream[0];
  Bytes header;
  header.u32(kFileMagic).u32(kFileVersion).u8(kConfiguration).u32(2).add({'p', 'c'});
  if (script.return_path) header.add(command(kCmdOpenReturnPath, {})).add(command(kCmdPing, {0, 0, 0, 1}));
  if (script.preempt) header.add(command(kCmdPostcopyAdvise, Bytes().u64(kPage).u64(kPage)));
  main[0] = header;
  Bytes setup;
  if (script.opaque == Opaque::before_blocks) setup.add(unknown);
  setup.add(section(kSectionStart, kScriptedRam, "ram", kRamVersion))
      .u64(kScriptedPages * kPage | kRamMemSize);
  setup.text("pc.ram").u64(kScriptedPages * kPage).u64(kRamEos).add(footer(kScriptedRam));
  if (script.opaque == Opaque::behind_blocks) setup.add(unknown);
  main[1] = setup;
  main[2] = pass(kSectionPart, 0x11, false);
  main[3] = pass(kSectionPart, 0x12, script.opaque == Opaque::midway);
  main[4] = pass(kSectionEnd, 0, false);
  main[5] =
      Bytes().add(section(kSectionFull, 9, std::string(kScriptedDevice), 2)).fill(200, 0x33).add(footer(9));
  main[6] = Bytes()
                .u8(kSectionEof)
                .u8(kVmDescription)
                .u32(static_cast<uint32_t>(kScriptedEnd.size()))
                .add({kScriptedEnd.begin(), kScriptedEnd.end()});
  const auto packet = [](uint32_t flags, uint32_t pages, uint64_t first) {
    const std::string_view block = "pc.ram";
    Bytes bytes;
    bytes.u32(kMultifdMagic).u32(kMultifdVersion).u32(flags).u32(128).u32(pages).u32(pages * kPage);
    bytes.u64(0).fill(32, 0).add({block.begin(), block.end()}).fill(256 - block.size(), 0);
    for (uint32_t i = 0; i < 128; ++i) bytes.u64(i < pages ? (first + i) * kPage : 0);
    return bytes.fill(size_t{pages} * kPage, 0x21);
  };
  for (uint8_t i = 0; i < script.data; ++i) {
    auto& data = stream[1 + i];
    data[0] = Bytes().u32(kMultifdMagic).u32(kMultifdVersion).fill(16, 0).u8(i).fill(39, 0);
    data[1] = data[4] = packet(kMultifdSync, 0, 0);
    data[2] = data[3] = Bytes().add(packet(0, 2, 4u * i)).add(packet(kMultifdSync, 0, 0));
  }
  if (script.flood > 0) stream.at(1)[1] = Bytes().fill(script.flood, 0x55).add(stream[1][1]);
  for (auto& channel : stream) {
    for (ByteVector& bytes : channel) scripted_cipher(script, bytes);
  }
  return stream;
}

// How far a destination has read the main channel.
class MainProgress {
 public:
  // Returns the values of the PINGs in `bytes`.
  std::vector<uint32_t> feed(std::span<const uint8_t> bytes) {
    bytes_.append(bytes.begin(), bytes.end());
    static const Bytes footer = Bytes().u8(kSectionFooter).u32(kScriptedRam);
    static const Bytes ping = Bytes().u8(kCommand).u16(kCmdPing).u16(4);
    std::vector<uint32_t> pings;
    for (; looked_ + kAhead <= bytes_.size(); ++looked_) {
      const auto* at = reinterpret_cast<const uint8_t*>(bytes_.data()) + looked_;
      if (std::equal(ping.get().begin(), ping.get().end(), at)) pings.push_back(be32(at + 5));
      if (std::equal(footer.get().begin(), footer.get().end(), at)) ++passes_;
    }
    return pings;
  }
  bool at(Moment moment) const {
    const bool ends = bytes_.ends_with(kScriptedEnd);
    switch (moment) {
      case Moment::header:
        return bytes_.size() >= 15;
      case Moment::device:
        return ends || bytes_.find(kScriptedDevice, looked_ < 300 ? 0 : looked_ - 300) != std::string::npos;
      case Moment::whole:
        return ends;
      default:
        return passes() >= step_of(moment);
    }
  }

 private:
  static constexpr size_t kAhead = 9;  // bytes of a PING
  // A footer can be at the very end.
  size_t passes() const {
    return passes_ + (bytes_.ends_with(std::string_view("\x7e\0\0\0\x02", 5)) ? 1 : 0);
  }

  std::string bytes_;
  size_t looked_ = 0;
  size_t passes_ = 0;  // number of RAM sections that have ended
};

// How far a destination has read a data channel.
class DataProgress {
 public:
  void feed(std::span<const uint8_t> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    while (bytes_.size() >= at_ + kHeader) {
      if (be32(&bytes_[at_ + 8]) & kMultifdSync) ++syncs_;
      at_ += kHeader + be32(&bytes_[at_ + 16]) * kPage;
    }
  }
  // The channel's number, once the greeting has come.
  std::optional<size_t> number() const {
    return bytes_.size() < kMultifdInitBytes ? std::nullopt : std::optional<size_t>(bytes_[24]);
  }
  bool at(Moment moment) const { return number() && syncs_ >= std::min<size_t>(step_of(moment), 4); }

 private:
  static constexpr size_t kHeader = 320 + 8 * 128;
  ByteVector bytes_;
  size_t at_ = kMultifdInitBytes;
  size_t syncs_ = 0;
};

}  // namespace wherry::qemu::test
