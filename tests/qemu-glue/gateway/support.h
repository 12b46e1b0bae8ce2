// What the tests of the gateway share: RPC messages, hand-made and captured from libvirt.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "qemu-glue/gateway/rpc_message.h"
#include "qemu-glue/gateway/xdr.h"

namespace wherry::libvirt::test {

using Bytes = std::vector<uint8_t>;
// The URI that the user gives, and the one that QEMU gets instead.
inline constexpr std::string_view kGiven = "wherry://D?streams=4";
inline constexpr std::string_view kPath = "unix:///run/wherry/D/1.sock";

// Builds XDR, in the order of the calls.
class Xdr {
 public:
  Xdr& u32(uint32_t value) {
    put_u32(bytes_, value);
    return *this;
  }
  Xdr& u64(uint64_t value) {
    return u32(static_cast<uint32_t>(value >> 32)).u32(static_cast<uint32_t>(value));
  }
  Xdr& string(std::string_view value) {
    put_string(bytes_, value);
    return *this;
  }
  Xdr& optional(std::optional<std::string_view> value) {
    put_optional_string(bytes_, value);
    return *this;
  }
  // A typed parameter of the type string.
  Xdr& parameter(std::string_view field, std::string_view value) {
    return string(field).u32(7).string(value);
  }
  operator const Bytes&() const { return bytes_; }

 private:
  Bytes bytes_;
};

inline MessageHeader header(uint32_t procedure, MessageType type, uint32_t serial = 7,
                            MessageStatus status = MessageStatus::ok) {
  return {0x20008086, 1, procedure, type, serial, status};
}

inline Bytes message(const MessageHeader& header, const Bytes& payload = {}) {
  Bytes out(kLengthBytes);
  for (uint32_t field : {header.program, header.version, header.procedure, static_cast<uint32_t>(header.type),
                         header.serial, static_cast<uint32_t>(header.status)}) {
    put_u32(out, field);
  }
  put_bytes(out, payload);
  put_length(out);
  return out;
}

inline Bytes call(uint32_t procedure, const Bytes& payload = {}, uint32_t serial = 7) {
  return message(header(procedure, MessageType::call, serial), payload);
}
inline Bytes reply(uint32_t procedure, const Bytes& payload = {}, uint32_t serial = 7,
                   MessageStatus status = MessageStatus::ok) {
  return message(header(procedure, MessageType::reply, serial, status), payload);
}

inline Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) put_bytes(all, part);
  return all;
}

// A file of tests/data/libvirt-rpc, such as p2p.client.
inline Bytes captured(const std::string& name) {
  std::ifstream file(std::filesystem::path(WHERRY_TEST_DATA) / "libvirt-rpc" / name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The messages in one side's bytes.
inline std::vector<Bytes> messages(std::span<const uint8_t> bytes) {
  std::vector<Bytes> all;
  while (!bytes.empty()) {
    const size_t length = XdrReader(bytes, 0).u32();
    if (length < kHeadBytes || length > bytes.size()) {
      ADD_FAILURE() << "not a message: length " << length;
      break;
    }
    all.emplace_back(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    bytes = bytes.subspan(length);
  }
  return all;
}

}  // namespace wherry::libvirt::test
