// How large the guest's pages are to its QEMU (TARGET_PAGE_SIZE), where the migration stream does not say so.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "qemu-glue/monitor/monitor.h"

namespace wherry::qemu {

// By the name of its processor: of many it has been 4 KiB in every QEMU from 7.2 to 11.1, unless the stream
// says otherwise. Nothing: it is another's, whose pages are larger (alpha), differ by version (LoongArch's
// were 16 KiB in 7.2), or are named by the stream (ARM's); or the monitor does not tell.
std::optional<uint32_t> page_size_of_processor(Monitor& qemu);

// As query-migrate has it of a source that migrates. Nothing: it does not say so, or not yet.
std::optional<uint32_t> page_size_told(const nlohmann::json& query_migrate);

}  // namespace wherry::qemu
