// The destination's order: frames arrive on any lane, and land as their channel and epoch demand.
//
//     lane ─▶ claim(): whether the frame is here already, brought by a lane that was lost
//          ─▶ arrive(): pages whose epoch is open are placed at once, by the lane's own thread
//          ─▶ the channel's landing thread: takes the channel's frames in order, places what had to wait,
//             writes the rest to the channel's sink, acknowledges
//
// So a sink gets everything behind a page only once that page is in place, and a slow sink holds back nobody
// but its own channel.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/failure.h"
#include "compression/batch_decoder.h"
#include "compression/copy_mirror.h"
#include "compression/page_batch.h"
#include "transport/flow/epoch_gate.h"
#include "transport/lane/slots.h"
#include "transport/wire/channel.h"
#include "transport/wire/frame.h"

namespace wherry {

// One channel's way to the VMM; used by the channel's landing thread only.
class ChannelSink {
 public:
  virtual ~ChannelSink() = default;
  virtual Result<> record(std::span<const uint8_t> bytes, uint16_t flags) = 0;
  // With `placed`, pages of blocks that the placement takes are in guest memory already.
  virtual Result<> pages(const PageBatch& batch, bool placed) = 0;
  // The channel ends in this direction; `both_ways`: the source's VMM takes nothing more of it either.
  virtual Result<> close(bool both_ways) = 0;
};

// Guest memory as a place for pages, and as the base of those that are told by what is there. Thread-safe for
// different pages.
class Placement : public PageBases {
 public:
  // RAM of the guest as far as it is mapped here: where targets() are.
  virtual std::vector<std::span<uint8_t>> memory() const { return {}; }
  // Whether it takes the pages of a block.
  virtual bool takes(uint16_t block) const = 0;
  // Whether it takes every page of the batch.
  virtual bool takes_all(const PageBatch& batch) const = 0;
  // If the memory of all pages of the batch that carry bytes can be written here: fills `where` with it, in
  // order.
  virtual bool targets(const PageBatch& batch, std::vector<iovec>& where) = 0;
  // Writes the pages that it takes; with `bytes_there`, those that carry bytes are written already.
  virtual Result<> place(const PageBatch& batch, bool bytes_there) = 0;
};

// Whoever receives the guest.
class LandingSite {
 public:
  virtual ~LandingSite() = default;
  // Called by the channel's landing thread.
  virtual Result<std::unique_ptr<ChannelSink>> open(uint16_t channel, ChannelKind kind) = 0;
  // The blocks that batches refer to, once, before any pages; null: all pages go through the sinks.
  virtual Result<std::unique_ptr<Placement>> blocks(const GuestBlocks& blocks) = 0;
  // A lane was lost, by its thread; the session goes on without it.
  virtual void lane_lost(size_t lane, const std::string& why) = 0;

  // The session has failed: where is the guest? Asked again when the VMM has closed the main channel. Must
  // not block.
  enum class Guest {
    not_here,     // and nothing will be written to the VMM any more
    may_be_here,  // what the VMM says is awaited
    in_part,      // both VMMs have a part of it, and wait for another session
  };
  virtual Guest give_up() = 0;
};

struct Arrival {
  FrameHeader header;
  PageBatch pages;            // of a batch
  std::vector<uint8_t> body;  // of anything else; or the memory behind pages
  Slot slot;                  // the memory behind pages, if there are many
  bool placed = false;        // all pages of the batch are in place, and their memory is no longer needed
};

class Landing {
 public:
  struct Totals {
    uint64_t placed_pages = 0;
    uint64_t relayed_pages = 0;
    bool withdrawn = false;
    uint64_t copies_bytes = 0;   // of pages that are relayed
    uint64_t copies_budget = 0;  // the most that may become
  };
  // Something that the source is told of a frame.
  using Tell = std::function<Result<>(uint16_t channel, uint64_t sequence)>;

  // `again` asks for a batch to be sent once more, whole.
  Landing(LandingSite& site, Tell acknowledge, Tell again, Failure& failure);
  // The session has failed or everything is closed.
  ~Landing();

  // Called by lane threads. Errors are the peer's doing, or for want of a thread.
  //
  // A frame whose head has come is to be claimed before anything of it is placed. False: it is here already,
  // whatever became of it. Else it arrives, or is released if the rest of it did not come.
  Result<bool> claim(const FrameHeader& header);
  void release(const FrameHeader& header);
  Result<> arrive(Arrival arrival);
  // Announces the blocks; `space` is for reading batch tables.
  Result<> blocks(const GuestBlocks& blocks);
  // RAM of the guest that pages may be written to, once the blocks are known.
  std::vector<std::span<uint8_t>> guest_memory() const;
  // Waits for the blocks; null when the session is over.
  const PageSpace* wait_blocks();
  // The placement if it takes all pages of this frame and they may land now, else null.
  Placement* open_placement(const FrameHeader& header, const PageBatch& batch);
  // Places the pages that `placement` takes. False: the batch was released, and the source asked for it once
  // more.
  Result<bool> place(Placement& placement, const FrameHeader& header, PageBatch& batch,
                     std::vector<uint8_t>& scratch);
  // What the source may refer to, once the blocks are known.
  nlohmann::json bases() const;
  // The VMM can take pages now.
  void ready() { gate_.ready(); }
  // It takes nothing any more: nothing is placed, and nobody waits for a turn to.
  void gone() { gate_.withdraw(); }
  // Whether every channel that ever came has ended.
  bool all_closed() const { return open_channels_ == 0; }
  Totals totals() const;

 private:
  struct Channel {
    std::mutex mutex;
    std::condition_variable arrived;
    uint64_t next = 0;  // all frames before that have landed
    // The others that are here. Empty: it is being received, or is landing.
    std::map<uint64_t, std::optional<Arrival>> here;
    ChannelKind kind = ChannelKind::main;
    uint32_t epoch = 0;
    bool pages_done = false;
    bool closed = false;  // nothing may follow
    std::unique_ptr<ChannelSink> sink;
    std::vector<uint8_t> scratch;
    std::thread thread;
  };

  // A new one, if need be.
  Result<Channel*> channel(uint16_t number);
  // One of which a frame was claimed.
  Channel& known(uint16_t number);
  void run(uint16_t number, Channel& channel);
  enum class Landed { yes, asked_again, closed };
  Result<Landed> land(uint16_t number, Channel& channel, Arrival& arrival);
  Result<> ask_again(const FrameHeader& header);
  Result<> land_record(uint16_t number, Channel& channel, Arrival& arrival);
  Result<Landed> land_pages(Channel& channel, Arrival& arrival);
  // Makes whole pages of a batch that refers to what is here; `copies` if their order is kept. False: as of
  // place().
  Result<bool> complete(const FrameHeader& header, PageBatch& batch, CopyMirror* copies,
                        std::vector<uint8_t>& scratch);
  Result<> go_opaque(Channel& channel, const FrameHeader& header);

  LandingSite& site_;
  const Tell acknowledge_;
  const Tell again_;
  Failure& failure_;
  EpochGate gate_;
  mutable std::mutex mutex_;
  std::condition_variable blocks_known_;
  std::map<uint16_t, std::unique_ptr<Channel>> channels_;
  PageSpace space_;
  std::unique_ptr<Placement> placement_;
  std::unique_ptr<CopyMirror> copies_;  // if there is no placement
  bool blocks_named_ = false;
  bool have_blocks_ = false;
  std::atomic<size_t> open_channels_ = 0;
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> placed_beside_main_ = false;  // pages of other channels than main
  std::atomic<bool> placed_ = false;
  std::atomic<bool> withdrawn_ = false;
  std::atomic<size_t> held_bytes_ = 0;  // of frames that wait for their turn
  std::atomic<uint64_t> placed_pages_ = 0;
  std::atomic<uint64_t> relayed_pages_ = 0;
  Failure::Guard closer_;
};

}  // namespace wherry
