// The numbers in QEMU's migration stream that Wherry reads, from QEMU's migration/savevm.c, ram.c and
// multifd.c. They are the same in 7.2 to 11.1. The stream is big-endian (base/bytes.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace wherry::qemu {

// savevm.c, savevm.h
inline constexpr uint32_t kFileMagic = 0x5145564d;  // "QEVM"
inline constexpr uint32_t kFileVersion = 3;
enum Section : uint8_t {
  kSectionEof = 0x00,
  kSectionStart = 0x01,
  kSectionPart = 0x02,
  kSectionEnd = 0x03,
  kSectionFull = 0x04,
  kSubsection = 0x05,
  kVmDescription = 0x06,
  kConfiguration = 0x07,
  kCommand = 0x08,
  kSectionFooter = 0x7e,
};
enum Command : uint16_t {
  kCmdOpenReturnPath = 1,
  kCmdPing = 2,
  kCmdPostcopyAdvise = 3,
  kCmdPostcopyListen = 4,
  kCmdPostcopyRun = 5,
  kCmdPostcopyRamDiscard = 6,
  kCmdPackaged = 7,
  kCmdEnableColo = 8,
  kCmdPostcopyResume = 9,
  kCmdRecvBitmap = 10,
  kCmdSwitchoverStart = 11,
};

// ram.c: the flags in the low bits of each RAM record's first word
inline constexpr uint64_t kRamZero = 0x02;
inline constexpr uint64_t kRamMemSize = 0x04;
inline constexpr uint64_t kRamPage = 0x08;
inline constexpr uint64_t kRamEos = 0x10;
inline constexpr uint64_t kRamContinue = 0x20;
inline constexpr uint64_t kRamXbzrle = 0x40;
inline constexpr uint64_t kRamCompress = 0x100;
inline constexpr uint64_t kRamMultifdFlush = 0x200;
inline constexpr uint32_t kRamVersion = 4;

// multifd.h
inline constexpr uint32_t kMultifdMagic = 0x11223344;
inline constexpr uint32_t kMultifdVersion = 1;
inline constexpr uint32_t kMultifdSync = 0x01;
inline constexpr uint32_t kMultifdDeviceState = 0x40;
inline constexpr uint32_t kMultifdCompression = 0x3e;
inline constexpr size_t kMultifdInitBytes = 64;
inline constexpr uint32_t kMultifdPacketBytes = 512 * 1024;  // of page data, at most

// Return path, migration.c: enum mig_rp_message_type
inline constexpr uint16_t kRpShut = 1;
inline constexpr uint16_t kRpPong = 2;
inline constexpr uint16_t kRpRequestPagesOf = 3;  // the request names the block
inline constexpr uint16_t kRpRequestPages = 4;    // of the block of the request before
inline constexpr uint16_t kRpRecvBitmap = 5;
inline constexpr size_t kRpLongest = 512;
// migration.c:postcopy_start(): sent after the package, which makes the destination run.
inline constexpr uint32_t kPingBehindPackage = 4;

}  // namespace wherry::qemu
