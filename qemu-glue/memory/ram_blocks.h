// Asks QEMU where the RAM of its guest is in the QEMU process. Nothing is inferred from sizes, names of
// mappings or QEMU versions. A block whose address QEMU does not tell is left out. A block that is not plain
// guest RAM is listed with plain_ram = false.
//
// Sources, checked with QEMU 7.2.22, 10.0.13 and 11.1.3 (HMP prints text for people, so the parsers keep only
// rows that they understand fully):
//   x-query-ramblock (QMP) = `info ramblock` (HMP): every block; columns HVA and RO only in newer versions.
//   `info mtree -f` and `gpa2hva` (HMP): which parts of a block the guest sees and where; for older versions.
//   query-memdev: memory backends, the default RAM of a machine included.
//   query-memory-devices: which of these backends are DIMMs, virtio-mem, NVDIMM …
//
// The addresses are valid as long as the QEMU process lives and does not plug memory. Thread-safe if
// `monitor` is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "qemu-glue/monitor/monitor.h"

namespace wherry {

struct RamBlockPlace {
  std::string name;           // as in the migration stream
  uint64_t host_address = 0;  // virtual address in the QEMU process
  uint64_t length = 0;        // bytes in use, as in the stream's block list
  bool plain_ram = false;     // writable guest RAM, not ROM, a device or storage: pages may be placed there
};

// All blocks whose address is known, in QEMU's order. An Error if the monitor fails or lacks a query. A table
// that cannot be parsed yields no blocks, not an Error.
Result<std::vector<RamBlockPlace>> find_ram_blocks(Monitor& monitor);

}  // namespace wherry
