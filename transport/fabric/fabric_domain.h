// A device of this host as a provider opens it, shared by a session's lanes over it, and the memory that the
// device may reach.
//
// There are three kinds of memory: slots, which this side writes from, targets, and guest RAM. Slots are
// registered in units as they are needed. The peer may write to targets and guest RAM, at any time until the
// domain goes: so these are never interpreted in place, only copies of them are.
//
// A domain may register on demand: then a page is allocated when it is written, and looked up again if it was
// taken away. There a unit of guest RAM is registered when it is first asked for. Any other domain makes what
// it registers resident (it allocates every page) and keeps those pages. There a unit of guest RAM is
// registered only once all its pages are resident anyway, by a thread that nobody waits for. Guest RAM that
// is not registered is reached through the program's own memory and one copy.
//
// Guest RAM must not lose pages that a registration keeps (balloon, discard), because writes would go to the
// pages that were there before. At a destination nothing does that while pages arrive: its guest does not
// run, and with postcopy, which discards, pages are never placed directly.
//
// Thread-safe. Memory must outlive the domain.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "transport/fabric/fabric.h"
#include "transport/wire/frame.h"

namespace wherry {

// Makes vectors whose memory begins at the beginning of a page. With registration on demand soft-RoCE writes
// there, whatever place in the page was named (seen in Linux 6.18 and 7.3).
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
    void* descriptor = nullptr;  // this side's
    uint64_t address = 0;        // the peer's
    uint64_t key = 0;            // the peer's
  };
  // Own memory that the peer may write to. When the lent one goes, another borrower gets it. Its memory stays
  // as long as the domain: a provider without hardware may still be writing to it.
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

  // Own memory that this side writes from, in pieces that do not cross a multiple of `unit` bytes. Does
  // nothing if the memory was given before.
  void add_own(std::span<uint8_t> memory, size_t unit);
  // To be given back before the domain goes.
  Result<LentTarget> lend_target();
  // Does nothing if the memory was given before.
  void add_guest(std::span<uint8_t> memory);

  // Registers memory, which must outlive the registration.
  Result<fabric::Owned<fid_mr>> register_memory(std::span<uint8_t> memory, Use use);
  // A place in memory that was registered so.
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
  Area* add(std::span<uint8_t> memory, size_t unit, bool guest);
  Area* area_of(const uint8_t* at);
  std::span<uint8_t> unit_of(const Area& area, size_t unit) const;
  Reach reach(const Area& area, size_t unit, const uint8_t* at) const;
  Result<> register_unit(Area& area, size_t unit);
  void want(Area& area, size_t unit);
  void register_guest();
  bool leaves_a_page_out();

  const std::string provider_;
  const std::string name_;
  const bool by_address_;  // the peer names memory by its virtual address, not by an offset
  const fabric::Owned<fid_fabric> fabric_;
  const fabric::Owned<fid_domain> domain_;
  mutable std::mutex mutex_;                 // guards what follows, except the atomics
  std::condition_variable wanted_;           // something is in the queue, or it is time to stop
  std::deque<std::unique_ptr<Area>> areas_;  // all memory that was given
  Targets targets_;
  std::deque<std::pair<Area*, size_t>> queue_;  // units for register_guest()
  std::atomic<uint64_t> next_key_ = 1;          // of a registration, where the provider lets us choose
  std::atomic<bool> on_demand_;                 // false from the first time that it fails
  std::string trouble_;
  bool stopping_ = false;
  std::thread thread_;  // runs register_guest()
};

// The domains that a session has open. Thread-safe: lanes that open at the same time share a domain as well.
class FabricDomains {
 public:
  // The domain that serves the path; opens it if there is none.
  Result<std::shared_ptr<FabricDomain>> get(const fi_info& path);
  // The trouble of the first domain that has any.
  std::string trouble() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<FabricDomain>> open_;
};

}  // namespace wherry
