// Listens on a path of a fabric for one caller.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "transport/fabric/fabric_connection.h"

namespace wherry {

class FabricListener {
 public:
  static Result<FabricListener> open(FabricDomains& domains, const std::string& provider,
                                     const std::string& address);
  uint16_t port() const { return port_; }
  // Waits for a caller with that hello, at most until `until`, and until `give_up` says that none will come.
  // Null: none came. The error says why this side could not answer the call.
  Result<std::unique_ptr<FabricConnection>> accept(const FabricConnection::Shape& shape,
                                                   std::span<const uint8_t> hello,
                                                   FabricConnection::Deadline until,
                                                   const std::function<bool()>& give_up);

 private:
  FabricListener() = default;
  std::shared_ptr<FabricDomain> domain_;
  fabric::Info path_;
  fabric::Owned<fid_eq> events_;
  fabric::Owned<fid_pep> endpoint_;
  uint16_t port_ = 0;
};

}  // namespace wherry
