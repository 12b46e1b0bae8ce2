#include "transport/fabric/fabric_domain.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "base/errno.h"
#include "base/start_thread.h"

namespace wherry {
namespace {

uint64_t access(FabricDomain::Use use) {
  switch (use) {
    case FabricDomain::Use::buffers:
      return FI_SEND | FI_RECV;
    case FabricDomain::Use::source:
      return FI_WRITE;
    case FabricDomain::Use::target:
      break;
  }
  return FI_REMOTE_WRITE;
}

// In bytes. A guest of any size has a few thousand registrations at most. A small guest has small units, so
// that each is soon resident as a whole.
constexpr size_t kSmallestUnit = 2 << 20;
constexpr size_t kLargestUnit = 64 << 20;
constexpr size_t kMostUnits = 4096;

size_t guest_unit(size_t bytes) {
  return std::clamp(std::bit_ceil(bytes / kMostUnits + 1), kSmallestUnit, kLargestUnit);
}

// Whether registering it would allocate nothing.
bool is_resident(std::span<uint8_t> memory) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t start = reinterpret_cast<uintptr_t>(memory.data()) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(memory.data()) + memory.size();
  std::vector<uint8_t> pages((end - start + page - 1) / page);
  if (::mincore(reinterpret_cast<void*>(start), end - start, pages.data()) != 0) return false;
  return std::all_of(pages.begin(), pages.end(), [](uint8_t there) { return there & 1; });
}

}  // namespace

FabricDomain::FabricDomain(const fi_info& path, fabric::Owned<fid_fabric> fabric,
                           fabric::Owned<fid_domain> domain)
    : provider_(path.fabric_attr->prov_name),
      name_(fabric::device(path)),
      by_address_(path.domain_attr->mr_mode & FI_MR_VIRT_ADDR),
      fabric_(std::move(fabric)),
      domain_(std::move(domain)),
      on_demand_(leaves_a_page_out()) {}

Result<std::shared_ptr<FabricDomain>> FabricDomain::open(const fi_info& path) {
  auto& info = const_cast<fi_info&>(path);  // libfabric's functions only read it
  auto fabric = fabric::make<fid_fabric>("opening the fabric", [&](fid_fabric** object) {
    return fi_fabric(info.fabric_attr, object, nullptr);
  });
  if (!fabric) return pass_on(fabric);
  auto domain = fabric::make<fid_domain>("opening the device", [&](fid_domain** object) {
    return fi_domain(fabric->get(), &info, object, nullptr);
  });
  if (!domain) return fail("{} {}", fabric::device(path), domain.error().message);
  return std::shared_ptr<FabricDomain>(new FabricDomain(path, std::move(*fabric), std::move(*domain)));
}

// Tries it, because libfabric decides how memory is registered and does not tell.
bool FabricDomain::leaves_a_page_out() {
  const auto bytes = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  void* const page = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  const std::span<uint8_t> memory(static_cast<uint8_t*>(page), bytes);
  const bool left_out = register_memory(memory, Use::target) && !is_resident(memory);
  ::munmap(page, bytes);
  return left_out;
}

FabricDomain::~FabricDomain() {
  {
    Lock lock(mutex_);
    stopping_ = true;
    wanted_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  areas_.clear();  // registrations go before their domain
}

bool FabricDomain::serves(const fi_info& path) const {
  return provider_ == path.fabric_attr->prov_name && name_ == fabric::device(path);
}

// Null: it was added before.
FabricDomain::Area* FabricDomain::add(std::span<uint8_t> memory, size_t unit, bool guest) {
  if (memory.empty() || area_of(memory.data())) return nullptr;
  areas_.push_back(std::make_unique<Area>());
  Area& area = *areas_.back();
  area.memory = memory;
  area.unit = unit;
  area.guest = guest;
  area.units.resize((memory.size() + unit - 1) / unit);
  return &area;
}

void FabricDomain::add_own(std::span<uint8_t> memory, size_t unit) {
  Lock lock(mutex_);
  add(memory, unit, false);
}

void FabricDomain::add_guest(std::span<uint8_t> memory) {
  Lock lock(mutex_);
  Area* const area = add(memory, guest_unit(memory.size()), true);
  if (!area) return;
  area->wanted.resize(area->units.size());
  for (size_t unit = 0; unit < area->units.size() && !on_demand_; ++unit) want(*area, unit);
  if (thread_.joinable()) return;
  auto registers = start_thread("register RAM", [this] { register_guest(); });
  if (registers) {
    thread_ = std::move(*registers);
  } else {
    trouble_ = registers.error().message;
    queue_.clear();
  }
}

FabricDomain::Area* FabricDomain::area_of(const uint8_t* at) {
  for (auto& area : areas_) {
    if (at >= area->memory.data() && at < area->memory.data() + area->memory.size()) return area.get();
  }
  return nullptr;
}

std::span<uint8_t> FabricDomain::unit_of(const Area& area, size_t unit) const {
  const size_t start = unit * area.unit;
  return area.memory.subspan(start, std::min(area.unit, area.memory.size() - start));
}

FabricDomain::Reach FabricDomain::reach(fid_mr& region, std::span<const uint8_t> memory,
                                        const uint8_t* at) const {
  const uint64_t address =
      by_address_ ? reinterpret_cast<uint64_t>(at) : static_cast<uint64_t>(at - memory.data());
  return {fi_mr_desc(&region), address, fi_mr_key(&region)};
}

FabricDomain::Reach FabricDomain::reach(const Area& area, size_t unit, const uint8_t* at) const {
  return reach(*area.units[unit], unit_of(area, unit), at);
}

Result<fabric::Owned<fid_mr>> FabricDomain::register_memory(std::span<uint8_t> memory, Use use) {
  fid_mr* region = nullptr;
  const int code = fi_mr_reg(domain_.get(), memory.data(), memory.size(), access(use), 0, next_key_++, 0,
                             &region, nullptr);
  if (code == -FI_ENOMEM) {
    return fail(
        "{} cannot lock {} bytes of memory: raise the limit (ulimit -l unlimited, LimitMEMLOCK=infinity in "
        "the unit of wherryd)",
        name_, memory.size());
  }
  if (code != 0) return fail("{} cannot register memory: {}", name_, fabric::reason(code));
  return fabric::Owned<fid_mr>(region);
}

Result<FabricDomain::LentTarget> FabricDomain::lend_target() {
  Lock lock(mutex_);
  if (targets_.free.empty()) {
    auto target = std::make_unique<Target>();
    target->bytes.resize(kMaxBody);
    auto region = register_memory(target->bytes, Use::target);
    if (!region) return pass_on(region);
    target->region = std::move(*region);
    target->reach = reach(*target->region, target->bytes, target->bytes.data());
    targets_.free.push_back(target.get());
    targets_.all.push_back(std::move(target));
  }
  LentTarget lent(targets_.free.back(), GiveBack{this});
  targets_.free.pop_back();
  return lent;
}

void FabricDomain::give_back(Target* target) {
  Lock lock(mutex_);
  targets_.free.push_back(target);
}

Result<FabricDomain::Reach> FabricDomain::own(std::span<const uint8_t> piece) {
  Lock lock(mutex_);
  Area* const area = area_of(piece.data());
  if (!area || area->guest) return fail("this memory was not given to {}", name_);
  const size_t unit = static_cast<size_t>(piece.data() - area->memory.data()) / area->unit;
  const std::span<uint8_t> whole = unit_of(*area, unit);
  if (piece.data() + piece.size() > whole.data() + whole.size())
    return fail("memory across two registrations");
  if (auto registered = register_unit(*area, unit); !registered) return pass_on(registered);
  return reach(*area, unit, piece.data());
}

Result<> FabricDomain::register_unit(Area& area, size_t unit) {
  if (area.units[unit]) return {};
  auto region = register_memory(unit_of(area, unit), area.guest ? Use::target : Use::source);
  if (!region) return pass_on(region);
  area.units[unit] = std::move(*region);
  return {};
}

std::optional<FabricDomain::Reach> FabricDomain::find(std::span<const uint8_t>& piece) {
  Lock lock(mutex_);
  Area* const area = area_of(piece.data());
  if (!area || !area->guest) return std::nullopt;
  const size_t unit = static_cast<size_t>(piece.data() - area->memory.data()) / area->unit;
  const std::span<uint8_t> whole = unit_of(*area, unit);
  piece = piece.first(
      std::min<size_t>(piece.size(), static_cast<size_t>(whole.data() + whole.size() - piece.data())));
  if (!area->units[unit] && !on_demand_) {
    want(*area, unit);
    return std::nullopt;
  }
  if (!register_unit(*area, unit)) {
    on_demand_ = false;  // register_guest() then tries, and keeps the reason if it fails too
    return std::nullopt;
  }
  return reach(*area, unit, piece.data());
}

void FabricDomain::want(Area& area, size_t unit) {
  if (area.wanted[unit] || !trouble_.empty()) return;
  area.wanted[unit] = true;
  queue_.emplace_back(&area, unit);
  wanted_.notify_one();
}

void FabricDomain::register_guest() {
  Lock lock(mutex_);
  for (;;) {
    while (!stopping_ && queue_.empty()) wanted_.wait(mutex_);
    if (stopping_) return;
    const auto [area, unit] = queue_.front();
    queue_.pop_front();
    lock.unlock();
    const std::span<uint8_t> memory = unit_of(*area, unit);
    auto region =
        is_resident(memory) ? register_memory(memory, Use::target) : Result<fabric::Owned<fid_mr>>();
    lock.lock();
    area->wanted[unit] = false;
    if (region) {
      area->units[unit] = std::move(*region);
    } else if (trouble_.empty()) {
      trouble_ = region.error().message;
      queue_.clear();
    }
  }
}

std::string FabricDomain::trouble() const {
  Lock lock(mutex_);
  return trouble_;
}

Result<std::shared_ptr<FabricDomain>> FabricDomains::get(const fi_info& path) {
  Lock lock(mutex_);
  for (const auto& domain : open_) {
    if (domain->serves(path)) return domain;
  }
  auto domain = FabricDomain::open(path);
  if (!domain) return domain;
  open_.push_back(*domain);
  return domain;
}

std::string FabricDomains::trouble() const {
  Lock lock(mutex_);
  for (const auto& domain : open_) {
    if (auto trouble = domain->trouble(); !trouble.empty()) return trouble;
  }
  return {};
}

}  // namespace wherry
