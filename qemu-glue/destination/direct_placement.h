// Pages written straight into the RAM of the destination's guest, past its QEMU.
//
// Only blocks that are plain guest RAM at a known address are taken; the others' pages are left to QEMU's
// stream. Thread-safe for different pages, as GuestRam is.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "qemu-glue/memory/guest_ram.h"
#include "qemu-glue/stream/page_writer.h"
#include "transport/destination/landing_site.h"
#include "transport/wire/channel.h"

namespace wherry {

class DirectPlacement : public Placement {
 public:
  // Fails if a block is longer at the source than here: the destination's QEMU would refuse that guest.
  static Result<> check(const GuestRam& ram, const GuestBlocks& blocks);
  // Fails if none of the blocks can be reached, or if it is not certain how large their pages are.
  static Result<std::unique_ptr<DirectPlacement>> make(GuestRam& ram, const GuestBlocks& blocks);

  std::vector<std::span<uint8_t>> memory() const override;
  bool takes(uint16_t block) const override { return taken_[block]; }
  bool takes_all(const PageBatch& batch) const override;
  bool targets(const PageBatch& batch, std::vector<iovec>& where) override;
  Result<> place(const PageBatch& batch, bool bytes_there) override;
  Result<const uint8_t*> base(uint16_t block, uint64_t index, uint32_t page_size,
                              uint8_t* scratch) const override;
  // The blocks whose pages are placed here.
  const qemu::Skip& taken() const { return taken_; }
  // How most of the memory is reached.
  GuestRam::Way way() const { return way_; }

 private:
  explicit DirectPlacement(GuestRam& ram) : ram_(ram) {}

  GuestRam& ram_;
  std::vector<std::optional<size_t>> handles_;  // by the session's number of the block
  qemu::Skip taken_;
  GuestRam::Way way_ = GuestRam::Way::mapped;
};

}  // namespace wherry
