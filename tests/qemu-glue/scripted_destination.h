// Acts as the destination's QEMU on its migration sockets: accepts the channels, reads everything, answers
// PINGs, and acts at the moment of its script.
//
// Its conclusion is `has_guest` if it had read the whole main channel before it closed it, else `failed`.
// With `has_guest`, a QEMU without -S runs the guest; with -S, only when the source has completed.
// Thread-safe.
#pragma once

#include <functional>

#include "tests/qemu-glue/scripted_source.h"

namespace wherry::qemu::test {

class ScriptedDestination {
 public:
  // `cut` performs the act `cut`.
  ScriptedDestination(const std::string& at, Script script, ScriptedSource& source,
                      std::function<void()> cut = {})
      : script_(std::move(script)),
        source_(source),
        cut_(std::move(cut)),
        listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{AF_UNIX, {}};
    std::memcpy(address.sun_path, at.c_str(), at.size() + 1);
    ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::listen(listener_.get(), 16);
    thread_ = std::thread([this] { run(); });
  }
  ~ScriptedDestination() {
    if (thread_.joinable()) thread_.join();
  }

  // Nothing is left that could connect: missing channels will not come.
  void nobody_comes() {
    nobody_comes_ = true;
    ::eventfd_write(told_.get(), 1);
  }
  // Waits for the conclusion: has_guest or failed.
  std::string conclusion() {
    thread_.join();
    return main_.at(Moment::whole) ? "has_guest" : "failed";
  }
  const std::vector<std::string>& complaints() const { return complaints_; }  // call it after conclusion()

 private:
  struct Connection {
    Fd fd;
    bool reads = true;
    bool shook_hands = false;
    ByteVector early = {};           // bytes of an incomplete handshake
    std::optional<size_t> number{};  // number of the channel
    DataProgress data = {};
  };

  void run() {
    while (!over_) {
      std::vector<pollfd> fds{{listener_.get(), POLLIN, 0}};
      for (const Connection& each : connections_) fds.push_back({each.reads ? each.fd.get() : -1, POLLIN, 0});
      fds.push_back({told_.get(), POLLIN, 0});
      if (::poll(fds.data(), fds.size(), kPatience.count()) <= 0) {
        complaints_.push_back("the destination received nothing more" + state());
        break;
      }
      eventfd_t ignored = 0;
      if (fds.back().revents) ::eventfd_read(told_.get(), &ignored);
      for (size_t i = connections_.size(); i-- > 0;) {
        if (fds[1 + i].revents) read(connections_[i]);
      }
      if (fds[0].revents) accept();
      load();
      if (!acted_ && is_at_moment()) act();
      load();
      if (has_ended() || (nobody_comes_ && !fds[0].revents && connections_.empty())) over_ = true;
    }
    listener_.reset();
    // A QEMU that fails or is done closes everything, as a process does when it ends.
    connections_.clear();
  }

  // The first channel is main. The preempt channel is silent.
  void accept() {
    connections_.push_back({Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC))});
    if (connections_.size() == 1) connections_.back().number = 0;
    if (connections_.size() == 2 && script_.preempt) connections_.back().number = 1;
  }

  void read(Connection& from) {
    ByteVector bytes(64 * 1024);
    const ssize_t got = ::recv(from.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      from.reads = false;
      return;
    }
    bytes.resize(static_cast<size_t>(got));
    shake_hands(from, bytes);
    scripted_cipher(script_, bytes);
    if (from.number != 0u) {
      from.data.feed(bytes);
      if (auto told = from.data.number(); told && !from.number) from.number = 1 + *told;
      return;
    }
    unloaded_.insert(unloaded_.end(), bytes.begin(), bytes.end());
  }

  // Processes what came on the main channel; before it has acted, only up to its moment.
  void load() {
    constexpr size_t kPiece = 8;
    std::span<const uint8_t> bytes = unloaded_;
    while (!bytes.empty() && !over_ && (acted_ || !main_.at(script_.moment))) {
      const size_t length = std::min(kPiece, bytes.size());
      for (uint32_t ping : main_.feed(bytes.first(length))) say(kRpPong, ping);
      bytes = bytes.subspan(length);
    }
    unloaded_.erase(unloaded_.begin(), unloaded_.end() - static_cast<ptrdiff_t>(bytes.size()));
  }

  // The end of the main channel is noticed when all of it is loaded. The end of a data channel alone is
  // ignored.
  bool has_ended() const {
    const bool waits = !acted_ && main_.at(script_.moment);
    const Connection* main = find(0);
    if (main && !main->reads && unloaded_.empty() && !waits) return true;
    const bool all_came = connections_.size() == script_.channels() || nobody_comes_;
    return main && all_came &&
           std::none_of(connections_.begin(), connections_.end(),
                        [](const Connection& each) { return each.reads; });
  }

  std::string state() const {
    std::string state =
        fmt::format(" ({}acted{}", acted_ ? "" : "not ", nobody_comes_ ? ", nobody comes" : "");
    for (const Connection& each : connections_)
      state += fmt::format(", {} {}", each.number ? fmt::format("channel {}", *each.number) : "a channel",
                           each.reads ? "open" : "ended");
    return state + ")";
  }

  // Removes the source's handshake from the front of what came, and answers it.
  void shake_hands(Connection& with, ByteVector& bytes) const {
    if (script_.opaque != Opaque::start || with.shook_hands) return;
    const ByteVector hello = scripted_hello();
    with.early.insert(with.early.end(), bytes.begin(), bytes.end());
    bytes.clear();
    if (with.early.size() < hello.size()) return;
    bytes.assign(with.early.begin() + static_cast<ptrdiff_t>(hello.size()), with.early.end());
    with.shook_hands = true;
    (void)::send(with.fd.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
  }

  bool is_at_moment() const {
    if (!main_.at(script_.moment)) return false;
    for (size_t channel = 1; channel < script_.channels(); ++channel) {
      const Connection* found = find(channel);
      const bool is_data = channel <= script_.data;
      if (!found || (is_data && !found->data.at(script_.moment))) return false;
    }
    return true;
  }

  void act() {
    acted_ = true;
    std::set<size_t> closed;
    for (const Act& act : script_.acts) {
      auto* on = const_cast<Connection*>(find(act.channel));
      switch (act.kind) {
        case Act::Kind::shut0:
        case Act::Kind::shut1:
          say(kRpShut, act.kind == Act::Kind::shut1 ? 1 : 0);
          if (script_.apart) source_.await_shut();
          break;
        case Act::Kind::close:
          on->fd.reset();
          on->reads = false;
          closed.insert(act.channel);
          if (script_.apart) source_.await_end(act.channel, ScriptedSource::Heard::close);
          break;
        case Act::Kind::half_close:
          ::shutdown(on->fd.get(), SHUT_WR);
          if (script_.apart) source_.await_end(act.channel, ScriptedSource::Heard::half_close);
          break;
        case Act::Kind::cut:
          cut_();
          break;
      }
    }
    if (script_.apart) {
      source_.let_go(closed);
      // It closes the other channels when it exits.
      if (closed.contains(0)) source_.await_conclusion();
    }
    if (closed.contains(0)) over_ = true;
  }

  void say(uint16_t type, uint32_t value) const {
    const Connection* main = find(0);
    ByteVector bytes = Bytes().u16(type).u16(4).u32(value);
    scripted_cipher(script_, bytes);
    if (script_.return_path) (void)::send(main->fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    // Wherry sends its own PING only with a return path.
  }

  const Connection* find(size_t channel) const {
    auto found = std::find_if(connections_.begin(), connections_.end(),
                              [=](const Connection& each) { return each.number == channel; });
    return found == connections_.end() ? nullptr : &*found;
  }

  const Script script_;
  ScriptedSource& source_;
  const std::function<void()> cut_;
  Fd listener_;
  const Fd told_{::eventfd(0, EFD_CLOEXEC)};
  std::atomic<bool> nobody_comes_ = false;
  std::vector<Connection> connections_;
  MainProgress main_;
  ByteVector unloaded_;
  bool acted_ = false;
  bool over_ = false;
  std::vector<std::string> complaints_;
  std::thread thread_;
};

}  // namespace wherry::qemu::test
