// libfabric's objects with owners, its paths between two addresses, and its errors as ours.
//
// A path is a provider's way between two IP addresses over connected endpoints (FI_EP_MSG) with messages and
// RMA writes. `verbs` (RDMA devices) and `tcp` share the same code; the fi_info says where they differ
// (docs/architecture.md). Written for libfabric 1.17's interface, which 2.x keeps. Thread-safe.
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/errno.h"
#include "base/result.h"

namespace wherry::fabric {

struct Close {
  template <class T>
  void operator()(T* object) const {
    fi_close(&object->fid);
  }
};
template <class T>
using Owned = std::unique_ptr<T, Close>;

struct FreeInfo {
  void operator()(fi_info* info) const { fi_freeinfo(info); }
};
using Info = std::unique_ptr<fi_info, FreeInfo>;

// path_to: the path to a listener at a numeric address. path_at: a path to listen on, at a local
// address and a port that the kernel chooses. Errors say why there is none, and what to look at.
Result<Info> path_to(const std::string& provider, const std::string& address, uint16_t port);
Result<Info> path_at(const std::string& provider, const std::string& address);

// The device that a path uses, as the provider calls it.
std::string device(const fi_info& path);

// What a negative result of a libfabric call means.
std::string reason(ssize_t code);

// Calls one of the libfabric functions that make an object.
template <class T, class Make>
Result<Owned<T>> make(const char* what, Make&& make) {
  T* object = nullptr;
  if (const int code = make(&object); code != 0) return fail("{}: {}", what, reason(code));
  return Owned<T>(object);
}

}  // namespace wherry::fabric
