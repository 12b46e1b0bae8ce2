// Splits one direction of a libvirt RPC connection: messages that are wanted come whole, everything else goes
// through as it comes, only a message's header is waited for.
//
// Where something cannot be RPC (TLS, an encryption that was agreed on, nonsense) the connection becomes
// opaque: from there on all goes through, for ever. Holds no more than one message of libvirt's longest. Not
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
    std::optional<MessageHeader> whole;  // said of a message that was wanted: these are all its bytes
  };
  // Takes the next piece from the front of `bytes`. None when they are used up.
  std::optional<Piece> next(std::span<const uint8_t>& bytes);

  // What went through so far ends with a message: another may be put in here.
  bool between_messages() const { return !opaque_ && left_ == 0; }
  bool opaque() const { return opaque_; }
  // Makes it opaque. What was held back goes through now: it is returned.
  std::vector<uint8_t> give_up();

 private:
  bool hold(std::span<const uint8_t>& bytes, size_t length);
  Piece hand_out(std::optional<MessageHeader> whole);
  Piece hand_out_opaque();

  const Wanted wanted_;
  std::vector<uint8_t> held_;  // the beginning of a message
  bool handed_out_ = false;    // what is held was the last piece
  size_t left_ = 0;            // bytes ahead that belong to a message on its way through
  bool opaque_ = false;
};

}  // namespace wherry::libvirt
