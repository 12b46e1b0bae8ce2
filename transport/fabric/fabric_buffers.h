// The message buffers of a connection: registered memory, cut into buffers to send from and buffers to
// receive into.
//
// Not thread-safe: the connection guards it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "transport/fabric/fabric_domain.h"

namespace wherry {

class FabricBuffers {
 public:
  // How many buffers there are of each kind, and how long each is in bytes.
  struct Shape {
    size_t send_bytes = 0;
    size_t send_count = 0;
    size_t receive_bytes = 0;
    size_t receive_count = 0;
  };
  struct Buffer {
    fi_context2 context{};  // for the provider. The first member, because completions name buffers by it
    std::span<uint8_t> bytes;
    size_t sending = 0;  // bytes of the message that is being sent from here
  };

  explicit FabricBuffers(const Shape& shape);
  // Registers the memory. The domain must outlive this.
  Result<> open(FabricDomain& domain);

  // A buffer to send from; null: all are in use.
  Buffer* take();
  void give_back(Buffer* sent) { free_.push_back(sent); }
  std::span<Buffer> receives() { return receives_; }

  // The buffer whose context a completion names; null: it is not one of these.
  Buffer* sent(void* context) { return find(sends_, context); }
  Buffer* received(void* context) { return find(receives_, context); }

  // The descriptor of their memory, which every operation on them needs.
  void* descriptor() const { return fi_mr_desc(region_.get()); }

 private:
  static Buffer* find(std::vector<Buffer>& buffers, void* context);

  PageBytes memory_;
  fabric::Owned<fid_mr> region_;
  std::vector<Buffer> sends_;
  std::vector<Buffer> receives_;
  std::vector<Buffer*> free_;  // of `sends_`
};

}  // namespace wherry
