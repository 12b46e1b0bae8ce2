#include "transport/source/lane_worker.h"

#include "transport/flow/encoding_time.h"

namespace wherry {
namespace {

// Records are compressed at a level that costs next to nothing, if they are long enough to be worth it.
constexpr int kRecordLevel = 1;
constexpr size_t kLongRecord = 1024;

// A batch counts as what its first page with content is.
Chooser::Population population(const PageBatch& batch, const PageHistory& history) {
  for (const PageRun& run : batch.runs) {
    if (run.kind == PageKind::zero) continue;
    return history.knows(run.block, run.first) ? Chooser::Population::again : Chooser::Population::first;
  }
  return Chooser::Population::first;
}

}  // namespace

LaneWorker::LaneWorker(size_t number, size_t lanes, LaneSender& lane, Outflow& outflow)
    : number_(number), lanes_(lanes), lane_(lane), outflow_(outflow), encoder_(&outflow.history) {}

Result<> LaneWorker::run() {
  Result<> ended;
  while (Outbox::Frame frame = outflow_.outbox.pop(number_)) {
    ended = frame->header.type == FrameType::batch ? send_batch(*frame) : send_bytes(*frame);
    if (!ended) break;
  }
  if (ended) ended = lane_.complete();
  // Nothing waits for it any more.
  outflow_.chooser.network(number_, lane_.bytes_sent(), 0, Chooser::Clock::now());
  return ended;
}

// For the chooser, what the bandwidth limit holds back waits for the network too.
void LaneWorker::tell_chooser() {
  outflow_.chooser.network(number_, lane_.bytes_sent(),
                           lane_.bytes_waiting() + outflow_.pacer.debt() / lanes_, Chooser::Clock::now());
}

Result<> LaneWorker::send_batch(const OutFrame& frame) {
  const bool sums = outflow_.compression.verify;
  tell_chooser();
  const EncodingTime time;
  if (frame.whole) {
    Encoding whole;
    whole.sums = sums;
    auto done = encoder_.encode(frame.pages, frame.header.epoch, whole, encoded_, frame.copied);
    if (!done) return done;
  } else {
    const Chooser::Pick pick = outflow_.chooser.choose(number_, population(frame.pages, outflow_.history));
    auto done = encoder_.encode(frame.pages, frame.header.epoch, pick.encoding, encoded_);
    if (!done) return done;
    outflow_.outbox.encoded(frame, encoded_.whole, encoded_.copied);
    outflow_.chooser.encoded(pick, frame.pages.data.size() * frame.pages.page_size, encoded_.body_size,
                             time.elapsed());
    tell_chooser();
    outflow_.figures.encoded(encoded_.counts);
    outflow_.trace_encoding();
  }
  FrameHeader header = frame.header;
  header.pages = frame.pages.page_count();
  header.pack_length = encoded_.pack_size;
  header.plain_length = encoded_.plain_size;
  if (sums) header.flags |= kSums;
  return post(header, encoded_.table, encoded_.body);
}

// Records are compressed if that pays, for example device state and its description.
Result<> LaneWorker::send_bytes(const OutFrame& frame) {
  FrameHeader header = frame.header;
  std::span<const uint8_t> bytes = frame.bytes;
  if (header.type == FrameType::record && bytes.size() >= kLongRecord &&
      outflow_.compression.mode != Compression::Mode::off) {
    if (const auto pack = encoder_.pack(bytes, kRecordLevel); !pack.empty()) {
      header.pack_length = static_cast<uint32_t>(pack.size());
      header.plain_length = static_cast<uint32_t>(bytes.size());
      bytes = pack;
    }
  }
  return post(header, {}, {&bytes, bytes.empty() ? 0u : 1u});
}

Result<> LaneWorker::post(const FrameHeader& header, std::span<const uint8_t> table,
                          std::span<const std::span<const uint8_t>> body) {
  size_t bytes = kFrameHeaderBytes + table.size();
  for (const auto piece : body) bytes += piece.size();
  if (!outflow_.pacer.take(bytes)) return fail("the session is over");
  return lane_.post(header, table, body);
}

}  // namespace wherry
