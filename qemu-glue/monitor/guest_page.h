// How large the guest's pages are to its QEMU (TARGET_PAGE_SIZE), where the migration stream does not say so.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "qemu-glue/monitor/monitor.h"

namespace wherry::qemu {

// By the name of the processor: for many it has been 4 KiB in every QEMU from 7.2 to 11.1, unless the stream
// says otherwise. Nothing: it is a processor whose pages are larger (alpha), differ by version (LoongArch's
// were 16 KiB in 7.2), or are named by the stream (ARM's); or the monitor does not tell.
std::optional<uint32_t> page_size_of_processor(Monitor& qemu);

// As a monitor or libvirt gives it, in bytes. Nothing: that cannot be the size of a page.
std::optional<uint32_t> checked_page_size(double bytes);

// As query-migrate of a source that migrates has it. Nothing: QEMU does not say it, or not yet.
std::optional<uint32_t> page_size_told(const nlohmann::json& query_migrate);

}  // namespace wherry::qemu
