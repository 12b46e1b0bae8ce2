#include "transport/fabric/fabric_buffers.h"

namespace wherry {

FabricBuffers::FabricBuffers(const Shape& shape)
    : memory_(shape.send_bytes * shape.send_count + shape.receive_bytes * shape.receive_count),
      sends_(shape.send_count),
      receives_(shape.receive_count) {
  std::span<uint8_t> left(memory_);
  const auto cut = [&left](std::vector<Buffer>& buffers, size_t bytes) {
    for (Buffer& buffer : buffers) {
      buffer.bytes = left.first(bytes);
      left = left.subspan(bytes);
    }
  };
  cut(sends_, shape.send_bytes);
  cut(receives_, shape.receive_bytes);
  for (Buffer& buffer : sends_) free_.push_back(&buffer);
}

Result<> FabricBuffers::open(FabricDomain& domain) {
  auto region = domain.register_memory(memory_, FabricDomain::Use::buffers);
  if (!region) return pass_on(region);
  region_ = std::move(*region);
  return {};
}

FabricBuffers::Buffer* FabricBuffers::take() {
  if (free_.empty()) return nullptr;
  Buffer* const buffer = free_.back();
  free_.pop_back();
  return buffer;
}

FabricBuffers::Buffer* FabricBuffers::find(std::vector<Buffer>& buffers, void* context) {
  auto* const buffer = static_cast<Buffer*>(context);
  const bool one = !buffers.empty() && buffer >= &buffers.front() && buffer <= &buffers.back();
  return one ? buffer : nullptr;
}

}  // namespace wherry
