// Where the RAM of a guest lives in the process of its QEMU, as QEMU itself tells: nothing here is inferred
// from sizes, names of mappings or habits of a version. A block whose address QEMU does not tell is left out,
// a block that is anything else than plain guest RAM is listed with plain_ram = false.
//
// Sources, seen with QEMU 7.2.22, 10.0.13 and 11.1.3 (all three print for people, so the parsers take what
// they can prove and drop the rest):
//   x-query-ramblock (QMP) = `info ramblock` (HMP): every block; columns HVA and RO only in newer versions.
//   `info mtree -f` and `gpa2hva` (HMP): which parts of a block the guest sees and where; for the older ones.
//   query-memdev: memory backends, the default RAM of a machine included.
//   query-memory-devices: which of them are DIMMs, virtio-mem, NVDIMM …
//
// The addresses hold for as long as that QEMU process lives and plugs no memory. Not thread-safe beyond
// `monitor`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "qemu-glue/monitor/monitor.h"

namespace wherry {

struct RamBlockPlace {
  std::string name;           // as it stands in the migration stream
  uint64_t host_address = 0;  // virtual, in the QEMU process
  uint64_t length = 0;        // bytes in use, as in the stream's block list
  bool plain_ram = false;  // writable guest RAM with no meaning beyond its bytes: pages may be placed there
};

// All blocks whose address is known, in QEMU's order. An Error when the monitor fails or lacks a query; a
// table that is not understood gives no blocks rather than an Error.
Result<std::vector<RamBlockPlace>> find_ram_blocks(Monitor& monitor);

}  // namespace wherry
