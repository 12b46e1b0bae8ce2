// How a batch of pages becomes bytes and pages again: the one interface between transport and compression.
//
// The encoded form has two parts (docs/wire-format.md): a table of 16-byte runs that says which pages these
// are and how each is encoded, and a body. A codec object belongs to one lane and is used by one thread at a
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compression/page_batch.h"
#include "compression/result.h"

namespace wherry {

// The body is a list of views: they stay valid until the next encode() of the same codec and as long as the
// memory behind the batch.
struct EncodedBatch {
  std::vector<uint8_t> table;
  std::vector<std::span<const uint8_t>> body;
  uint32_t body_size = 0;
};

inline constexpr uint32_t kRunBytes = 16;

class BatchCodec {
 public:
  virtual ~BatchCodec() = default;
  virtual void encode(const PageBatch& batch, EncodedBatch& out) = 0;
  // Turns the body of a batch whose runs were read from its table into page views, which may point into
  // `body`.
  virtual Result<> decode(PageBatch& batch, std::span<const uint8_t> body) = 0;
};

// Sends zero pages as nothing and all others as they are.
std::unique_ptr<BatchCodec> make_raw_codec();

// Reads a table that came from outside: every run must lie within `space`, and the pages that carry bytes
// must fit a batch. The returned batch has no page views yet.
Result<PageBatch> read_table(std::span<const uint8_t> table, const PageSpace& space);

}  // namespace wherry
