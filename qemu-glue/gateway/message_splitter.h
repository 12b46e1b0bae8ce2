// Splits one direction of a libvirt RPC connection. Wanted messages are held until they are complete. Of any
// other message only the header is held; the rest is passed on as it arrives.
//
// From the first bytes that cannot be RPC (TLS, an encryption that was negotiated, garbage) the connection is
// opaque: everything is passed on. Holds at most one message of the greatest length that libvirt allows. Not
// thread-safe. Never fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "qemu-glue/gateway/rpc_message.h"

namespace wherry::libvirt {

class MessageSplitter {
 public:
  using Wanted = std::function<bool(const MessageHeader&)>;
  explicit MessageSplitter(Wanted wanted) : wanted_(std::move(wanted)) {}

  struct Piece {
    std::span<const uint8_t> bytes;      // valid until the next call
    std::optional<MessageHeader> whole;  // set if `bytes` are a whole wanted message
  };
  // Takes the next piece from the front of `bytes`. Nothing when they are used up.
  std::optional<Piece> next(std::span<const uint8_t>& bytes);

  // What was handed out so far ends at the end of a message, so that another message can be inserted.
  bool between_messages() const { return !opaque_ && left_ == 0; }
  bool opaque() const { return opaque_; }
  // Makes the connection opaque. Returns the bytes that were held, to be passed on.
  std::vector<uint8_t> give_up();

 private:
  bool hold(std::span<const uint8_t>& bytes, size_t length);
  Piece hand_out(std::optional<MessageHeader> whole);
  Piece hand_out_opaque();

  const Wanted wanted_;
  std::vector<uint8_t> held_;  // the beginning of a message
  bool handed_out_ = false;    // held_ was handed out as the last piece
  size_t left_ = 0;            // bytes still to come of a message that is passed on
  bool opaque_ = false;
};

}  // namespace wherry::libvirt
