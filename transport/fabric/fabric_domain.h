// A device of this host as a provider opens it, shared by a session's lanes over it, and the memory that the
// device may reach.
//
// There are three kinds of memory: slots, which this side writes from; targets; and guest RAM. Slots are
// registered in units as they are needed. The peer can write to targets and guest RAM at any time until the
// domain is destroyed. So nothing is interpreted there; only copies of it are.
//
// Some domains register on demand: a page is allocated when it is written, and looked up again if it was
// taken away. With them, a unit of guest RAM is registered when it is first asked for. With all others,
// registration makes memory resident (it allocates every page) and keeps those pages. So a unit of guest RAM
// is registered only once all its pages are resident anyway, by a thread that nobody waits for. Guest RAM
// that is not registered is reached through a target and one copy.
//
// Guest RAM must not lose pages that a registration keeps (balloon, discard), because writes would go to the
// pages that were there before. At a destination nothing does that while pages arrive: its guest does not
// run, and with postcopy, which discards, pages are never placed directly.
//
// Thread-safe. Memory must outlive the domain.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "transport/fabric/fabric.h"
#include "transport/wire/frame.h"

namespace wherry {

// Allocates memory that begins at the beginning of a page. With registration on demand, soft-RoCE ignores the
// offset within a page and writes to the page's beginning (seen in Linux 6.18 and 7.3).
template <class T>
struct PageAllocator {
  using value_type = T;
  static constexpr std::align_val_t kPage{4096};
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kPage)); }
  void deallocate(T* memory, size_t) { ::operator delete(memory, kPage); }
  bool operator==(const PageAllocator&) const = default;
};
using PageBytes = std::vector<uint8_t, PageAllocator<uint8_t>>;

class FabricDomain {
 public:
  // What registered memory is for. The peer may write only to targets, and may read nothing.
  enum class Use { buffers, source, target };
  // How operations name a place in registered memory.
  struct Reach {
    void* descriptor = nullptr;  // for operations of this side
    uint64_t address = 0;        // for operations of the peer
    uint64_t key = 0;            // for operations of the peer
  };
  // The program's own memory that the peer can write to. When it is given back, another borrower can get it.
  // The memory itself stays as long as the domain, because a provider without hardware may still be writing
  // to it.
  struct Target {
    PageBytes bytes;  // kMaxBody
    fabric::Owned<fid_mr> region;
    Reach reach;  // of its first byte
  };
  struct GiveBack {
    FabricDomain* domain = nullptr;
    void operator()(Target* target) const { domain->give_back(target); }
  };
  using LentTarget = std::unique_ptr<Target, GiveBack>;

  static Result<std::shared_ptr<FabricDomain>> open(const fi_info& path);
  ~FabricDomain();

  // Adds the program's own memory that this side writes from. It is used in pieces that do not cross a
  // multiple of `unit` bytes. Does nothing if the memory was added before.
  void add_own(std::span<uint8_t> memory, size_t unit);
  // The target must be given back before the domain is destroyed.
  Result<LentTarget> lend_target();
  // Adds guest RAM. Does nothing if it was added before.
  void add_guest(std::span<uint8_t> memory);

  // Registers memory, which must outlive the registration.
  Result<fabric::Owned<fid_mr>> register_memory(std::span<uint8_t> memory, Use use);
  // A place in memory that register_memory() has registered.
  Reach reach(fid_mr& region, std::span<const uint8_t> memory, const uint8_t* at) const;

  // A place in own memory of add_own(), which is registered now if it is not yet.
  Result<Reach> own(std::span<const uint8_t> piece);
  // A place in guest RAM; nothing if it is not, or is not registered. `piece` may be shortened to what one
  // registration covers.
  std::optional<Reach> find(std::span<const uint8_t>& piece);
  // Why guest RAM is no longer registered; empty: nothing is wrong.
  std::string trouble() const;
  // Whether registered memory need not be resident.
  bool on_demand() const { return on_demand_; }

  fid_fabric* fabric() const { return fabric_.get(); }
  fid_domain* get() const { return domain_.get(); }
  // Whether an endpoint for that path can belong to this domain.
  bool serves(const fi_info& path) const;

 private:
  struct Area {
    std::span<uint8_t> memory;
    size_t unit = 0;                           // bytes of a registration
    bool guest = false;                        // a target; else a source
    std::vector<fabric::Owned<fid_mr>> units;  // null: not registered
    std::vector<bool> wanted;                  // by unit: it waits for register_guest()
  };
  struct Targets {
    std::vector<std::unique_ptr<Target>> all;
    std::vector<Target*> free;
  };
  FabricDomain(const fi_info& path, fabric::Owned<fid_fabric> fabric, fabric::Owned<fid_domain> domain);
  void give_back(Target* target);
  Area* add(std::span<uint8_t> memory, size_t unit, bool guest) WHERRY_REQUIRES(mutex_);
  Area* area_of(const uint8_t* at) WHERRY_REQUIRES(mutex_);
  std::span<uint8_t> unit_of(const Area& area, size_t unit) const;
  Reach reach(const Area& area, size_t unit, const uint8_t* at) const WHERRY_REQUIRES(mutex_);
  Result<> register_unit(Area& area, size_t unit) WHERRY_REQUIRES(mutex_);
  void want(Area& area, size_t unit) WHERRY_REQUIRES(mutex_);
  void register_guest();
  bool leaves_a_page_out();

  const std::string provider_;
  const std::string name_;
  const bool by_address_;  // the peer names memory by its virtual address, not by an offset
  const fabric::Owned<fid_fabric> fabric_;
  const fabric::Owned<fid_domain> domain_;
  std::atomic<uint64_t> next_key_ = 1;  // of the next registration, if the provider takes our keys
  std::atomic<bool> on_demand_;         // false from the first time that it fails
  mutable Mutex mutex_;                 // also for units and wanted of each area
  Condition wanted_;                    // something is in the queue, or it is time to stop
  std::deque<std::unique_ptr<Area>> areas_ WHERRY_GUARDED_BY(mutex_);  // all memory that was given
  Targets targets_ WHERRY_GUARDED_BY(mutex_);
  std::deque<std::pair<Area*, size_t>> queue_ WHERRY_GUARDED_BY(mutex_);  // units for register_guest()
  std::string trouble_ WHERRY_GUARDED_BY(mutex_);
  bool stopping_ WHERRY_GUARDED_BY(mutex_) = false;
  std::thread thread_ WHERRY_GUARDED_BY(mutex_);  // runs register_guest()
};

// The domains that a session has open. Thread-safe: lanes that open at the same time share a domain as well.
class FabricDomains {
 public:
  // The domain that serves the path; opens it if there is none.
  Result<std::shared_ptr<FabricDomain>> get(const fi_info& path);
  // The trouble of the first domain that has any.
  std::string trouble() const;

 private:
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<FabricDomain>> open_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry
