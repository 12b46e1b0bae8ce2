// The guest's page size in bytes (QEMU's TARGET_PAGE_SIZE), for migration streams that do not state it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "qemu-glue/monitor/monitor.h"

namespace wherry::qemu {

// 4096 for targets whose page size is 4 KiB in every QEMU from 7.2 to 11.1, unless the stream states another.
// Nothing for other targets: their pages are larger (alpha), differ by version (LoongArch had 16 KiB in 7.2),
// or are stated in the stream (ARM). Nothing also if the monitor does not answer.
std::optional<uint32_t> page_size_of_processor(Monitor& qemu);

// A size in bytes as a monitor or libvirt gives it. Nothing if pages cannot have that size.
std::optional<uint32_t> checked_page_size(double bytes);

// The page size in the source's answer to query-migrate. Nothing if the answer does not (yet) have it.
std::optional<uint32_t> page_size_told(const nlohmann::json& query_migrate);

}  // namespace wherry::qemu
