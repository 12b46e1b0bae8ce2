// find_ram_blocks and GuestRam with real QEMUs that wait for a migration: the guest sees what GuestRam
// writes.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "qemu-glue/memory/guest_ram.h"
#include "qemu-glue/memory/ram_blocks.h"
#include "tests/qemu-glue/memory/support.h"
#include "tests/qemu-glue/real_qemu.h"

namespace wherry {
namespace {

using test::kGuestPage;
using test::pattern;
using test::Qemu;
using test::qemus;

constexpr uint64_t kRam = 131080 << 10;

// Guest-physical memory, read by QEMU's monitor. (11.1 refuses pmemsave in an incoming QEMU, but not xp.)
std::vector<uint8_t> guest_memory(Qmp& qmp, uint64_t address, uint64_t size) {
  std::vector<uint8_t> bytes;
  auto shown = qmp.human(fmt::format("xp /{}xb {:#x}", size, address), Qemu::kPatience);
  EXPECT_TRUE(shown) << shown.error().message;
  if (!shown) return bytes;
  std::istringstream words(*shown);  // 0000000001000000: 0x12 0x34 …
  for (std::string word; words >> word;) {
    if (word.size() == 4 && word.starts_with("0x"))
      bytes.push_back(static_cast<uint8_t>(std::stoul(word, nullptr, 16)));
  }
  return bytes;
}

// Writes to block `name` and zeroes it. The guest sees that block from address 0 on.
void exercise(Qemu& qemu, const std::string& name, GuestRam::Way way) {
  auto qmp = qemu.monitor();
  ASSERT_TRUE(qmp);
  EXPECT_EQ(qmp->peer_pid(), qemu.pid());
  auto places = find_ram_blocks(*qmp);
  ASSERT_TRUE(places) << places.error().message;
  for (const auto& place : *places) EXPECT_EQ(place.plain_ram, place.name == name) << place.name;
  auto ram = GuestRam::open(qmp->peer_pid(), *places);
  ASSERT_TRUE(ram) << ram.error().message;
  EXPECT_EQ(ram->block_count(), 1u);
  auto block = ram->find(name);
  ASSERT_TRUE(block);
  EXPECT_EQ(ram->way(*block), way);
  EXPECT_EQ(ram->length(*block), kRam);

  // Low memory, memory beyond the BIOS hole, and the last page.
  auto bytes = pattern(16 * kGuestPage, 1);
  std::span<const uint8_t> all(bytes);
  std::vector<GuestRam::Piece> pieces{{0x10000, all.subspan(0, kGuestPage)},
                                      {0x1000000, all.subspan(kGuestPage, 8 * kGuestPage)},
                                      {kRam - kGuestPage, all.subspan(9 * kGuestPage, kGuestPage)}};
  auto done = ram->write(*block, pieces);
  ASSERT_TRUE(done) << done.error().message;
  for (const auto& piece : pieces) {
    auto seen = guest_memory(*qmp, piece.offset, piece.bytes.size());
    EXPECT_TRUE(std::equal(seen.begin(), seen.end(), piece.bytes.begin(), piece.bytes.end())) << piece.offset;
  }
  done = ram->zero(*block, 0, kRam);
  ASSERT_TRUE(done) << done.error().message;
  for (const auto& piece : pieces) {
    auto seen = guest_memory(*qmp, piece.offset, piece.bytes.size());
    EXPECT_TRUE(seen == std::vector<uint8_t>(piece.bytes.size())) << piece.offset;
  }
}

std::string size_option() {
  return fmt::format("{}k", kRam >> 10);
}

void for_all(const std::vector<std::string>& options, const std::string& block, GuestRam::Way way) {
  for (const auto& binary : qemus()) {
    for (const char* machine : {"pc", "q35"}) {
      SCOPED_TRACE(binary + " " + machine);
      std::vector<std::string> all{"-m", size_option()};
      all.insert(all.end(), options.begin(), options.end());
      std::string type = machine;
      if (block != "pc.ram") type += ",memory-backend=" + block;
      all.insert(all.end(), {"-machine", type});
      Qemu qemu(binary, all);
      exercise(qemu, block, way);
    }
  }
}

TEST(GuestRamOfQemu, SharedMemfd) {
  for_all({"-object", "memory-backend-memfd,id=m0,share=on,size=" + size_option()}, "m0",
          GuestRam::Way::mapped);
}

TEST(GuestRamOfQemu, PrivateDefaultMemory) {
  for_all({"-device", "VGA"}, "pc.ram", GuestRam::Way::process);
}

TEST(GuestRamOfQemu, PrivateMemfd) {
  for_all({"-object", "memory-backend-memfd,id=m0,share=off,size=" + size_option()}, "m0",
          GuestRam::Way::process);
}

TEST(GuestRamOfQemu, OnlyDimmsOfTheMemoryDevicesArePlain) {
  for (const auto& binary : qemus()) {
    SCOPED_TRACE(binary);
    Qemu qemu(binary, {"-machine", "q35,nvdimm=on", "-m", size_option() + ",slots=3,maxmem=1G", "-object",
                       "memory-backend-ram,id=vm0,size=128M", "-device", "virtio-mem-pci,memdev=vm0",
                       "-object", "memory-backend-ram,id=nv0,size=128M", "-device", "nvdimm,memdev=nv0",
                       "-object", "memory-backend-ram,id=d0,size=128M", "-device", "pc-dimm,memdev=d0"});
    auto qmp = qemu.monitor();
    ASSERT_TRUE(qmp);
    auto places = find_ram_blocks(*qmp);
    ASSERT_TRUE(places) << places.error().message;
    std::vector<std::string> plain;
    for (const auto& place : *places) {
      if (place.plain_ram) plain.push_back(place.name);
    }
    std::sort(plain.begin(), plain.end());
    EXPECT_EQ(plain, (std::vector<std::string>{"d0", "pc.ram"}));
  }
}

}  // namespace
}  // namespace wherry
