// A message of libvirt's RPC, in XDR: a u32 length that includes itself, the header, the payload.
//
// The format is that of libvirt's virnetprotocol.x and remote_protocol.x. libvirt adds procedures to them but
// does not change existing ones. Checked with libvirt 9.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace wherry::libvirt {

inline constexpr size_t kLengthBytes = 4;
inline constexpr size_t kHeadBytes = 28;  // length and header
// VIR_NET_MESSAGE_MAX, which does not include the length field, plus that field. Older libvirts allow half.
inline constexpr size_t kLongestMessage = (32u << 20) + kLengthBytes;

enum class MessageType : uint32_t { call, reply, event, stream, call_with_fds, reply_with_fds };
enum class MessageStatus : uint32_t { ok, error, more };

struct MessageHeader {
  uint32_t program;
  uint32_t version;
  uint32_t procedure;
  MessageType type;
  uint32_t serial;  // a reply has the serial of its call
  MessageStatus status;

  // Whether the program is the one for domains (REMOTE_PROGRAM). Others are for keepalive, QEMU's monitor …
  bool is_remote() const { return program == 0x20008086 && version == 1; }
  bool has_fds() const { return type == MessageType::call_with_fds || type == MessageType::reply_with_fds; }
};

// The header of a message of which at least kHeadBytes have come. Nothing if it is malformed.
std::optional<MessageHeader> read_header(std::span<const uint8_t> message);

// The whole message that makes `call` fail at the client. The client shows the text unchanged.
std::vector<uint8_t> error_reply(const MessageHeader& call, std::string_view text);

// Writes the length of the message into its first four bytes.
void put_length(std::vector<uint8_t>& message);

}  // namespace wherry::libvirt
