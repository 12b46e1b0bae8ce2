// A source that was let in and is hostile: does what steps tell it to, over any number of connections.
//
// A step without a twist does what a real source would do next: lengths and sums are right, frames have the
// next number of their channel, pages are encoded as BatchEncoder does. So a few steps lead deep into a
// session. A twist changes one thing.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "tests/compression/sample_secret.h"
#include "tests/fuzz/guarded_site.h"
#include "tests/fuzz/promise.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"
#include "transport/wire/channel.h"
#include "transport/wire/control.h"
#include "transport/wire/frame_socket.h"

namespace wherry::test {

// One step of the input, byte by byte.
struct Step {
  static constexpr size_t kBytes = 8;
  enum Kind : uint8_t {
    bytes,      // payload of the step before; its first byte divided by `kinds`: how many bytes, 0: all 7
    hello,      // a: lanes, b: silence
    lane,       // a: number, b: asks for a fabric
    open,       // a: kind
    record,     // a: flags, b: aux, c: length, where there is no payload; where: also long, packed
    blocks,     // a: page size, wishes and memory to remember pages, b: lengths; payload: the message itself
    pages,      // a: block, b: first page, c: how many, how encoded, value: what is in them
    table,      // one run of block a, from page b, c pages of kind `value`; payload: pack, or raw pages
    close,      // a: both ways
    control,    // a: frame type, b: aux; payload: the body
    listen,     // reads what the destination says
    vmm,        // the destination's VMM says something, or goes. a: what
    hang_up,    // of connection a; b: how
    last_word,  // value: what was heard, b: confirms it
    once_more,  // the last batch, without references
    first,      // a new connection, which begins with frame type a and the payload
    as_it_is,   // the payload
    kinds,
  };

  explicit Step(std::span<const uint8_t> from)
      : kind(static_cast<Kind>(from[0] % kinds)),
        where(from[1]),
        channel(from[2]),
        a(from[3]),
        b(from[4]),
        c(from[5]),
        twist(from[6]),
        value(from[7]) {}

  Kind kind;
  uint8_t where;    // below 128: lane `where`; else the control connection
  uint8_t channel;  // below 240: modulo 4; else 60 more for each
  uint8_t a, b, c;
  uint8_t twist;  // below 192: none
  uint8_t value;

  uint16_t channel_number() const {
    return static_cast<uint16_t>(channel < 240 ? channel % 4 : (channel - 239) * 20);
  }
};

class HostileSource {
 public:
  // `door`: where connections are handed over to the destination. `vmm` does what the destination's VMM can
  // do, by number.
  HostileSource(int door, std::function<void(uint8_t what)> vmm) : door_(door), vmm_(std::move(vmm)) {}

  void run(std::span<const uint8_t> input) {
    while (input.size() >= Step::kBytes) {
      const Step step(input);
      input = input.subspan(Step::kBytes);
      std::vector<uint8_t> payload;
      while (input.size() >= Step::kBytes && Step(input).kind == Step::bytes) {
        const uint8_t few = input[0] / Step::kinds;
        payload.insert(payload.end(), input.begin() + 1, input.begin() + (few && few < 7 ? few + 1 : 8));
        input = input.subspan(Step::kBytes);
      }
      take(step, payload);
    }
  }

 private:
  using Bytes = std::span<const uint8_t>;
  struct Line {
    std::unique_ptr<FrameSocket> socket;
  };
  // A channel as this source knows it.
  struct Channel {
    uint64_t next = 0;
    uint32_t epoch = 0;
  };
  struct Sent {
    FrameHeader header;
    PageBatch pages;
    std::vector<KnownPage> known;
    std::vector<CopiedPage> copied;
    PageCounts counts;
    std::vector<std::vector<uint8_t>> memory;
  };

  void take(const Step& step, Bytes payload) {
    switch (step.kind) {
      case Step::hello:
        return hello(step);
      case Step::lane:
        return lane(step);
      case Step::open:
        return channel_frame(step, {.type = FrameType::open, .aux = kind_of(step)}, {});
      case Step::record:
        return record(step, payload);
      case Step::blocks:
        return blocks(step, payload);
      case Step::pages:
        return pages(step);
      case Step::table:
        return table(step, payload);
      case Step::close:
        return channel_frame(step, {.type = FrameType::close, .aux = step.a % 2u}, {});
      case Step::control:
        return control(step, payload);
      case Step::listen:
        return listen();
      case Step::vmm:
        return vmm_(step.a);
      case Step::hang_up:
        return hang_up(step);
      case Step::last_word: {
        const nlohmann::json question = {{"token", token_}, {"heard", step.value}};
        FrameSocket* const asks =
            first(step, FrameType::last_word, nlohmann::json::to_cbor(spoilt(question, step)));
        if (step.b % 2)  // confirmed ahead
          write(asks,
                encode({.type = FrameType::done}, {}, nlohmann::json::to_cbor(nlohmann::json::object())));
        return;
      }
      case Step::once_more:
        return once_more(step);
      case Step::first:
        first(step, static_cast<FrameType>(16 + step.a % 8), payload);
        return;
      case Step::as_it_is:
        return write(at(step), payload);
      default:
        return;
    }
  }

  // ---- connections

  FrameSocket* connect() {
    std::array<int, 2> pair{};
    if (lines_.size() >= kMostLines) return nullptr;
    PROMISE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    Fd mine(pair[0]);
    const Fd theirs(pair[1]);
    const timeval soon{0, 10000};  // a destination that takes nothing just now is left alone
    ::setsockopt(mine.get(), SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
    if (!hand_over(door_, theirs)) return nullptr;
    lines_.push_back({std::make_unique<FrameSocket>(std::move(mine), "the destination")});
    lines_.back().socket->set_patience(std::chrono::milliseconds(40));
    return lines_.back().socket.get();
  }
  FrameSocket* at(const Step& step) {
    if (step.where >= 128 || lanes_.empty()) return control_;
    return lanes_[step.where % lanes_.size()];
  }
  void write(FrameSocket* to, Bytes bytes) {
    // If it takes no more, what came of the frame stays there.
    if (to) (void)send_all(to->fd(), bytes);
  }
  // The next frame, which is a sound one, or nothing.
  std::optional<FrameHeader> hear(FrameSocket& from, std::vector<uint8_t>& body) {
    FrameHead head;
    auto got = from.receive_head(head);
    if (!got) PROMISE(from.lost());
    if (!got || !*got) return std::nullopt;
    auto received = from.receive_body();
    if (!received) PROMISE(from.lost());
    if (!received) return std::nullopt;
    body = std::move(*received);
    return head.header;
  }

  // ---- frames

  static std::vector<uint8_t> encode(FrameHeader header, Bytes table, Bytes body) {
    header.table_length = static_cast<uint32_t>(table.size());
    header.body_length = static_cast<uint32_t>(body.size());
    Checksum sum;
    sum.add(body);
    header.body_sum = sum.value();
    const HeaderBytes head = encode_header(header, table);
    std::vector<uint8_t> bytes(head.begin(), head.end());
    bytes.insert(bytes.end(), table.begin(), table.end());
    bytes.insert(bytes.end(), body.begin(), body.end());
    return bytes;
  }
  static void flip(std::vector<uint8_t>& bytes, uint8_t where) {
    if (!bytes.empty()) bytes[where * bytes.size() / 256] ^= uint8_t(1 << where % 8);
  }
  void send(FrameSocket* to, const Step& step, FrameHeader header, Bytes table, Bytes body) {
    std::vector<uint8_t> runs(table.begin(), table.end());
    std::vector<uint8_t> content(body.begin(), body.end());
    const auto by = static_cast<uint32_t>(static_cast<int8_t>(step.value));
    const int twist = step.twist < 192 ? -1 : step.twist % 16;
    if (twist == 0) header.sequence += static_cast<uint64_t>(static_cast<int8_t>(step.value));
    if (twist == 1) header.epoch += by;
    if (twist == 2) header.channel = static_cast<uint16_t>(step.value * 3);
    if (twist == 3) header.pages += by;
    if (twist == 4) header.flags ^= static_cast<uint16_t>(1u << step.value % 16);
    if (twist == 5) header.aux = step.value * 0x1010101u;
    if (twist == 6) header.plain_length += by * (step.value % 2 ? 1 : 4096);
    if (twist == 7) header.pack_length += by;
    if (twist == 8) flip(content, step.value);
    if (twist == 9) flip(runs, step.value);
    if (twist == 10) header.type = static_cast<FrameType>(step.value);
    if (twist == 11) header.sequence = ~uint64_t{0} - step.value;
    if (twist == 12) header.pack_length = header.plain_length = static_cast<uint32_t>(content.size());
    std::vector<uint8_t> bytes = encode(header, runs, content);
    if (twist == 13) flip(bytes, step.value);
    if (twist == 14) bytes.resize(step.value * bytes.size() / 256);
    write(to, bytes);
    if (twist == 15) write(to, bytes);
  }
  // The next frame of a channel.
  void channel_frame(const Step& step, FrameHeader header, Bytes body, Bytes table = {}) {
    Channel& channel = channels_[step.channel_number()];
    header.channel = step.channel_number();
    header.epoch = channel.epoch;
    header.sequence = channel.next++;
    if (header.type == FrameType::record && header.flags & kEpochEnd) ++channel.epoch;
    send(at(step), step, header, table, body);
  }
  // A message with one member changed.
  static nlohmann::json spoilt(nlohmann::json map, const Step& step) {
    if (step.twist < 192 || map.empty()) return map;
    const nlohmann::json odd[] = {nullptr,
                                  0u,
                                  -1,
                                  true,
                                  "",
                                  ~uint64_t{0},
                                  nlohmann::json::array({1u, "x"}),
                                  {{"a", 1u}},
                                  "\xff\xfe\x1b[31m",
                                  0.5};
    auto member = map.begin();
    std::advance(member, step.value % map.size());
    if (step.twist % 16 == 15)
      map.erase(member);
    else
      *member = odd[step.twist % 16 % std::size(odd)];
    return map;
  }
  FrameSocket* first(const Step& step, FrameType type, Bytes body) {
    FrameSocket* socket = connect();
    if (!socket) return nullptr;
    std::vector<uint8_t> bytes = encode({.type = type}, {}, body);
    if (step.twist >= 192 && step.twist % 16 == 14) bytes.resize(step.value * bytes.size() / 256);
    write(socket, bytes);
    return socket;
  }

  // ---- steps

  void hello(const Step& step) {
    FrameSocket* socket = connect();
    if (!socket) return;
    const nlohmann::json map = {{"lanes", 1u + step.a % 4},
                                {"silence_s", 1u + step.b},
                                {"secret", kSampleSecret},
                                {"requires", nlohmann::json::array()},
                                {"wishes", nlohmann::json::object()}};
    write(socket, encode({.type = FrameType::hello}, {}, nlohmann::json::to_cbor(spoilt(map, step))));
    std::vector<uint8_t> body;
    const auto answer = hear(*socket, body);
    if (!answer) return;
    PROMISE(answer->type == FrameType::welcome || answer->type == FrameType::refuse);
    if (answer->type != FrameType::welcome) return;
    control_ = socket;
    token_ = nlohmann::json::from_cbor(body).at("token");
    lanes_.clear();
    channels_.clear();
  }

  void lane(const Step& step) {
    FrameSocket* socket = connect();
    if (!socket) return;
    nlohmann::json map = {{"token", token_}, {"lane", step.a % 5u}};
    if (step.b % 2) map["fabric"] = step.b & 2 ? "tcp" : "verbs";
    if (step.b & 4) map["fabric_only"] = true;
    write(socket, encode({.type = FrameType::lane_hello}, {}, nlohmann::json::to_cbor(spoilt(map, step))));
    std::vector<uint8_t> body;
    const auto answer = hear(*socket, body);
    if (!answer) return;
    PROMISE(answer->type == FrameType::welcome || answer->type == FrameType::refuse);
    if (answer->type == FrameType::welcome) lanes_.push_back(socket);
  }

  static uint32_t kind_of(const Step& step) {
    return step.channel_number() == kMainChannel ? step.a / 128u * 3 : 1 + step.a % 3u;
  }

  void record(const Step& step, Bytes payload) {
    FrameHeader header{.type = FrameType::record, .flags = static_cast<uint16_t>(step.a & 0x5f)};
    if (header.flags & kEpochEnd && step.channel_number() == kMainChannel) header.aux = step.b % 4u;
    std::vector<uint8_t> body(payload.begin(), payload.end());
    if (body.empty()) body.assign(step.c * (step.where & 32 ? 4096u : 16u), step.value);
    if (step.where & 64) {  // packed
      std::vector<uint8_t> pack(ZSTD_compressBound(body.size()));
      pack.resize(ZSTD_compress(pack.data(), pack.size(), body.data(), body.size(), 1));
      header.plain_length = static_cast<uint32_t>(body.size());
      header.pack_length = static_cast<uint32_t>(pack.size());
      body = std::move(pack);
    }
    channel_frame(step, header, body);
  }

  void blocks(const Step& step, Bytes payload) {
    GuestBlocks list;
    list.page_size = 1024u << step.a % 3;
    list.page_size_named = step.a & 8;
    if (step.a & 16) list.relay_because = "the source says so";
    for (size_t i = 0; i < GuardedSite::kBlocks.size(); ++i)
      list.blocks.push_back({std::string(1, static_cast<char>('a' + i)), GuardedSite::kBlocks[i]});
    if (step.b & 1) list.blocks.push_back({"unknown", 1 << 20});
    if (step.b & 2) list.blocks[0].length += step.value;
    if (step.b & 4) list.blocks[1].length = uint64_t{step.value} << 38;
    std::vector<uint8_t> body(payload.begin(), payload.end());
    if (body.empty()) body = nlohmann::json::to_cbor(spoilt(list.to_json(), step));
    if (!space_) {
      GuestBlocks small = list;  // of a guest of 70 TB, this source has the beginning
      for (GuestBlocks::Block& block : small.blocks) {
        block.length = std::min<uint64_t>(block.length, 256 * 1024);
        memory_.emplace_back(block.length);
      }
      space_ = small.space();
      // With little room there are no copies, so what changed is sent as lines.
      history_.emplace(step.a & 32 ? 300 << 10 : 1 << 20, kSampleSecret);
      history_->set_space(*space_);
      encoder_.emplace(&*history_);
    }
    Step on_control = step;
    on_control.where = 128;
    channel_frame(on_control, {.type = FrameType::blocks}, body);
    while (control_ && !based_ && step.twist < 192 && hear_control(kPatience)) continue;
  }

  // Changes guest memory at the source, as a guest would; returns null for a zero page.
  const uint8_t* touch(uint16_t block, uint64_t index, uint8_t how) {
    const uint32_t size = space_->page_size;
    uint8_t* page = memory_[block].data() + index * size;
    if (how % 8 == 0) {
      std::fill_n(page, size, uint8_t{0});
      return nullptr;
    }
    if (how % 8 == 1) {  // such as would not compress
      for (uint32_t i = 0; i < size; ++i) page[i] = static_cast<uint8_t>((i * 31 + index * 7 + how) >> i % 5);
    } else if (how % 8 == 2) {
      for (uint32_t i = 0; i < size; ++i) page[i] = static_cast<uint8_t>(i / 32 * (index + how));
    } else if (how % 8 < 6) {  // a few bytes
      for (uint32_t i = 0; i <= how / 32u; ++i) page[(how * 37u + i * 211) % size] ^= uint8_t(1 + how);
    } else {  // equal to another
      std::fill_n(page, size, how);
    }
    return page;
  }

  void pages(const Step& step) {
    if (!space_) return;
    const auto block = static_cast<uint16_t>(step.a % space_->pages_of_block.size());
    const uint64_t there = memory_[block].size() / space_->page_size;
    if (there == 0) return;
    Sent& sent = sent_.emplace_back();
    sent.pages.page_size = space_->page_size;
    const uint32_t most = (1 + step.c % 16u) * (step.c & 16 ? 8 : 1);
    for (uint32_t i = 0; i < most && i < there && sent.pages.has_room(); ++i) {
      const uint64_t index = (step.b + i) % there;
      const uint8_t* page = touch(block, index, static_cast<uint8_t>(step.value + i / 4));
      if (page) page = sent.memory.emplace_back(page, page + space_->page_size).data();
      sent.pages.add(block, index, page);
    }
    const auto history = step.c & 128 ? Encoding::History::untouched : Encoding::History::kept;
    send_batch(step, sent, history, channels_[step.channel_number()]);
    if (sent_.size() > 16) sent_.erase(sent_.begin());
  }
  void send_batch(const Step& step, Sent& sent, Encoding::History history, Channel& channel) {
    const Encoding how{history, step.c & 64 ? std::optional<int>(1) : std::nullopt, (step.c & 32) != 0};
    EncodedBatch encoded;
    if (!encoder_->encode(sent.pages, channel.epoch, how, encoded, sent.copied)) return;
    std::vector<uint8_t> body;
    for (Bytes part : encoded.body) body.insert(body.end(), part.begin(), part.end());
    FrameHeader header{.type = FrameType::batch, .pages = sent.pages.page_count()};
    header.pack_length = encoded.pack_size;
    header.plain_length = encoded.plain_size;
    if (how.sums) header.flags = kSums;
    sent.header = header;
    sent.header.channel = step.channel_number();
    sent.header.epoch = channel.epoch;
    sent.header.sequence = channel.next;
    if (history == Encoding::History::kept) {
      sent.counts = encoded.counts;
      sent.known = encoded.whole;
      sent.copied = encoded.copied;
    }
    channel_frame(step, header, body, encoded.table);
  }
  // With the number that it had.
  void once_more(const Step& step) {
    if (sent_.empty()) return;
    Sent& sent = sent_[step.a % sent_.size()];
    Step same = step;
    same.channel = static_cast<uint8_t>(sent.header.channel);
    if (same.channel_number() != sent.header.channel) return;
    Channel was{sent.header.sequence, sent.header.epoch};
    std::swap(was, channels_[sent.header.channel]);
    send_batch(same, sent, Encoding::History::untouched, channels_[sent.header.channel]);
    channels_[sent.header.channel] = was;
  }

  void table(const Step& step, Bytes payload) {
    if (!space_) return;
    const PageRun run{step.a, static_cast<PageKind>(step.value % 9), step.c, step.b};
    std::vector<uint8_t> runs;
    put_table({&run, 1}, runs);
    FrameHeader header{.type = FrameType::batch, .pages = run.count};
    if (run.kind >= PageKind::packed)
      header.pack_length = header.plain_length = static_cast<uint32_t>(payload.size());
    channel_frame(step, header, payload, runs);
  }

  void control(const Step& step, Bytes payload) {
    static constexpr FrameType kTypes[] = {FrameType::may_be_there, FrameType::lane_lost, FrameType::failed,
                                           FrameType::done,         FrameType::ack,       FrameType::again,
                                           FrameType::bases,        FrameType::batch,     FrameType::hello};
    const FrameHeader header{.type = kTypes[step.a % std::size(kTypes)], .aux = step.b};
    std::vector<uint8_t> body(payload.begin(), payload.end());
    if (header.type == FrameType::done) {
      // Not before everything was acknowledged, as a source that is patient.
      while (control_ && step.twist < 192 && acked_.size() < unacknowledged() && hear_control(kPatience))
        continue;
      if (body.empty()) body = nlohmann::json::to_cbor(nlohmann::json::object());
    }
    send(control_, step, header, {}, body);
  }
  size_t unacknowledged() const {
    size_t frames = 0;
    for (const auto& [number, channel] : channels_) frames += channel.next;
    return frames;
  }

  void listen() {
    int wait = 3;
    if (!control_) ::poll(nullptr, 0, wait);
    for (int most = 0; control_ && most < 100 && hear_control(std::exchange(wait, 0)); ++most) continue;
  }
  // False: it said nothing in so many milliseconds, or nothing more will come.
  bool hear_control(int wait) {
    pollfd speaks{control_->fd(), POLLIN, 0};
    if (::poll(&speaks, 1, wait) != 1) return false;
    std::vector<uint8_t> body;
    const auto header = hear(*control_, body);
    if (!header) {
      control_->shut();
      control_ = nullptr;
      return false;
    }
    if (header->type == FrameType::ack) {
      PROMISE(acked_.insert({header->channel, header->sequence}).second);
      for (Sent& sent : sent_) {
        if (sent.header.channel == header->channel && sent.header.sequence == header->sequence) landed(sent);
      }
    } else if (header->type == FrameType::again) {
      ++reached.again;
    } else if (header->type == FrameType::bases && history_) {
      const nlohmann::json map = nlohmann::json::from_cbor(body);
      const auto named = map.at("blocks").get<std::vector<uint16_t>>();
      based_ = true;
      if (!named.empty())
        history_->refer_to(named);
      else
        history_->refer_to_copies(map.at("copies").get<uint64_t>());
    } else {
      const FrameType type = header->type;
      PROMISE(type == FrameType::reverse || type == FrameType::reverse_close || type == FrameType::failed ||
              type == FrameType::bases || type == FrameType::done || type == FrameType::lane_ended);
    }
    return true;
  }

  void landed(Sent& sent) {
    const PageCounts counts = std::exchange(sent.counts, {});
    (history_->by_copies() ? reached.kept : reached.patched) += counts.delta;
    reached.same += counts.same;
    reached.copied += sent.copied.size();
    history_->landed(std::exchange(sent.known, {}));
  }

  void hang_up(const Step& step) {
    if (lines_.empty()) return;
    FrameSocket& socket = *lines_[step.a % lines_.size()].socket;
    if (step.b % 2)
      ::shutdown(socket.fd(), SHUT_WR);
    else
      socket.shut();
  }

  static constexpr size_t kMostLines = 24;
  static constexpr int kPatience = 20;  // milliseconds, for what a destination that has not failed will say

  const int door_;
  const std::function<void(uint8_t what)> vmm_;
  std::vector<Line> lines_;
  FrameSocket* control_ = nullptr;   // of the hello that was welcome
  std::vector<FrameSocket*> lanes_;  // that were welcome since
  std::string token_;
  std::map<uint16_t, Channel> channels_;
  std::set<std::pair<uint16_t, uint64_t>> acked_;
  bool based_ = false;  // the destination has said what pages can refer to
  std::optional<PageSpace> space_;
  std::vector<std::vector<uint8_t>> memory_;
  // Once blocks are named.
  std::optional<PageHistory> history_;
  std::optional<BatchEncoder> encoder_;
  std::vector<Sent> sent_;
};

}  // namespace wherry::test
