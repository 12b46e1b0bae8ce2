#include "qemu-glue/gateway/xdr.h"

#include <algorithm>

#include "base/bytes.h"

namespace wherry::libvirt {
namespace {

constexpr size_t padding(size_t length) {
  return -length % 4;
}

}  // namespace

std::span<const uint8_t> XdrReader::take(size_t length) {
  if (broken_ || position_ > bytes_.size() || length > bytes_.size() - position_) {
    give_up();
    return {};
  }
  position_ += length;
  return bytes_.subspan(position_ - length, length);
}

uint32_t XdrReader::u32() {
  const auto bytes = take(4);
  return bytes.empty() ? 0 : be32(bytes.data());
}

uint64_t XdrReader::u64() {
  const auto bytes = take(8);
  return bytes.empty() ? 0 : be64(bytes.data());
}

std::string_view XdrReader::string() {
  const auto bytes = take(u32());
  const auto zeros = take(padding(bytes.size()));
  if (std::any_of(zeros.begin(), zeros.end(), [](uint8_t byte) { return byte != 0; })) give_up();
  if (broken_) return {};
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::optional<std::string_view> XdrReader::optional_string() {
  const uint32_t present = u32();
  if (present > 1) give_up();
  if (present != 1) return std::nullopt;
  return string();
}

void put_u32(std::vector<uint8_t>& out, uint32_t value) {
  out.resize(out.size() + 4);
  put_be32(&out[out.size() - 4], value);
}

void put_string(std::vector<uint8_t>& out, std::string_view value) {
  put_u32(out, static_cast<uint32_t>(value.size()));
  out.insert(out.end(), value.begin(), value.end());
  out.resize(out.size() + padding(value.size()));
}

void put_optional_string(std::vector<uint8_t>& out, std::optional<std::string_view> value) {
  put_u32(out, value ? 1 : 0);
  if (value) put_string(out, *value);
}

void put_bytes(std::vector<uint8_t>& out, std::span<const uint8_t> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace wherry::libvirt
