#include "qemu-glue/stream/return_path.h"

#include <algorithm>

#include "base/bytes.h"
#include "qemu-glue/stream/formats.h"

namespace wherry::qemu {

void ReturnPath::feed(std::span<const uint8_t> bytes, std::vector<uint8_t>& out) {
  while (!bytes.empty()) {
    if (raw_left_ > 0) {
      const size_t length = std::min<uint64_t>(bytes.size(), raw_left_);
      out.insert(out.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
      raw_left_ -= length;
      bytes = bytes.subspan(length);
      continue;
    }
    partial_.push_back(bytes.front());
    bytes = bytes.subspan(1);
    if (bitmap_size_next_) {
      if (partial_.size() < 8) continue;
      // The bitmap and an end mark of 8 bytes follow.
      raw_left_ = be64(partial_.data()) + 8;
      bitmap_size_next_ = false;
      out.insert(out.end(), partial_.begin(), partial_.end());
      partial_.clear();
    } else if (partial_.size() == 4 && (partial_[0] != 0 || be16(&partial_[2]) > kRpLongest)) {
      raw_left_ = UINT64_MAX;
      out.insert(out.end(), partial_.begin(), partial_.end());
      partial_.clear();
    } else if (partial_.size() >= 4 && partial_.size() == size_t{4} + be16(&partial_[2])) {
      message(out);
      partial_.clear();
    }
  }
}

void ReturnPath::message(std::vector<uint8_t>& out) {
  const uint16_t type = be16(partial_.data());
  const bool has_value = partial_.size() == 8;
  if (type == kRpPong && has_value && be32(&partial_[4]) == kOwnPing) {
    ponged_ = true;
    return;
  }
  if (type == kRpRequestPages || type == kRpRequestPagesOf) fetches_ = true;
  if (type == kRpPong && has_value && be32(&partial_[4]) == kPingBehindPackage) fetches_ = true;
  if (type == kRpShut && has_value) shut_ = be32(&partial_[4]);
  if (type == kRpRecvBitmap) bitmap_size_next_ = true;
  out.insert(out.end(), partial_.begin(), partial_.end());
}

}  // namespace wherry::qemu
