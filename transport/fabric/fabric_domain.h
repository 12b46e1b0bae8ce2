// A device of this host as a provider opens it, shared by a session's lanes over it, and the memory that it
// may reach.
//
// Two kinds of memory: own (slots, message buffers), which is registered in units as they are needed; and
// guest RAM. A domain that registers on demand gives a page to what is written, and finds it anew if it went:
// a unit of guest RAM is registered when it is first asked for. Any other makes what it registers resident
// (it allocates every page) and keeps those pages: there a unit is registered only once all its pages are
// there anyway, by a thread of the domain's, ahead of need and never waited for. What is not registered is
// reached through own memory and one copy.
//
// Guest RAM must not lose pages that a registration keeps (balloon, discard): writes would go to the pages
// that were there before. At a destination nothing does that while pages arrive: its guest does not run, and
// postcopy, which discards, never places directly.
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

namespace wherry {

// Makes vectors of memory that begins with a page. On demand soft-RoCE reaches nothing else (seen in
// Linux 6.18 and 7.3: it takes the beginning of a page for any place in it).
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
  // What registered memory is for. The peer writes only to targets, and reads nothing.
  enum class Use { buffers, source, target };
  // A part of registered memory, as this side's operations name it and as the peer's do.
  struct Reach {
    void* descriptor = nullptr;
    uint64_t address = 0;
    uint64_t key = 0;
  };

  static Result<std::shared_ptr<FabricDomain>> open(const fi_info& path);
  ~FabricDomain();

  // Memory of the program's own, used in pieces that do not cross a multiple of `unit` bytes. Memory that is
  // given twice is known already.
  void add_own(std::span<uint8_t> memory, size_t unit, Use use);
  // RAM of a guest.
  void add_guest(std::span<uint8_t> memory);

  // Memory that its caller keeps for as long as the registration.
  Result<fabric::Owned<fid_mr>> register_memory(std::span<uint8_t> memory, Use use);
  // A place in it.
  Reach reach(fid_mr& region, std::span<const uint8_t> memory, const uint8_t* at) const;

  // Own memory, registered now if it is not yet.
  Result<Reach> own(std::span<const uint8_t> piece);
  // Own memory, or guest RAM if that is registered; nothing: neither. `piece` may be shortened to what one
  // registration covers.
  std::optional<Reach> find(std::span<const uint8_t>& piece);
  // Why guest RAM is not being registered; empty: nothing is wrong.
  std::string trouble() const;
  // Whether registered memory need not be there.
  bool on_demand() const { return on_demand_; }

  fid_fabric* fabric() const { return fabric_.get(); }
  fid_domain* get() const { return domain_.get(); }
  // Whether an endpoint of that path can be of this domain.
  bool serves(const fi_info& path) const;

 private:
  struct Area {
    std::span<uint8_t> memory;
    size_t unit = 0;
    Use use = Use::target;
    bool guest = false;
    std::vector<fabric::Owned<fid_mr>> units;
    std::vector<bool> wanted;  // units that wait for register_guest()
  };
  FabricDomain(const fi_info& path, fabric::Owned<fid_fabric> fabric, fabric::Owned<fid_domain> domain);
  Area* add(std::span<uint8_t> memory, size_t unit, Use use);
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
  mutable std::mutex mutex_;
  std::condition_variable wanted_;
  std::deque<std::unique_ptr<Area>> areas_;
  std::deque<std::pair<Area*, size_t>> queue_;
  std::atomic<uint64_t> next_key_ = 1;
  std::atomic<bool> on_demand_;
  std::string trouble_;
  bool stopping_ = false;
  std::thread thread_;  // of register_guest()
};

// The domains that a session has open. Thread-safe: lanes that open at once share one all the same.
class FabricDomains {
 public:
  // One that serves the path, opened if need be.
  Result<std::shared_ptr<FabricDomain>> get(const fi_info& path);
  // The first trouble of any.
  std::string trouble() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<FabricDomain>> open_;
};

}  // namespace wherry
