// What an end wants of its lanes: RDMA or TCP, as its URI says. The source asks for it; the destination takes
// nothing else, but never requires a fabric.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace wherry {

struct FabricWish {
  enum class Use {
    never,
    prefer,   // TCP if there is no fabric
    require,  // at the source: without one the session cannot begin
  };
  Use use = Use::prefer;
  std::string provider = "verbs";  // as libfabric calls it
};

// Whether this can be the name of a provider. libfabric accepts more than names in that string, such as
// "^tcp" for all others.
inline bool is_provider(std::string_view name) {
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace wherry
