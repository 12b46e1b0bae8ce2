// Lanes over a fabric, with both ends in this process, and with peers that do what they should not.
#include "transport/fabric/fabric_lane.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <optional>

#include "compression/page_batch.h"
#include "tests/transport/fabric/fabric_pair.h"
#include "tests/transport/support.h"
#include "transport/lane/slots.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

using Bytes = std::vector<uint8_t>;

class FabricLane : public testing::TestWithParam<test::Path> {
 protected:
  explicit FabricLane(std::chrono::seconds silence = test::kForever)
      : pair_(GetParam(), test::kKey, silence) {}
  void SetUp() override {
    ASSERT_TRUE(pair_.source && pair_.destination) << pair_.error;
    domain_ = &pair_.destination->domain();
    sender_.emplace(std::move(pair_.source));
    receiver_.emplace(std::move(pair_.destination));
    ASSERT_TRUE(sender_->attach(slots_.memory()));
    progress_ = std::thread([this] { end_ = sender_->await_end().message; });
  }
  void TearDown() override {
    if (sender_) sender_->shut();
    if (progress_.joinable()) progress_.join();
  }

  // Sends a batch whose pages lie in a slot.
  Result<> post_raw(const Slot& slot, size_t bytes, uint64_t sequence = 0) {
    const std::span<const uint8_t> body(slot.get(), bytes);
    return sender_->post({.type = FrameType::batch, .sequence = sequence}, {}, {&body, 1});
  }
  Slot filled_slot(uint32_t seed) {
    Slot slot = slots_.take();
    const Bytes noise = test::noise(kSlotBytes, seed);
    std::copy(noise.begin(), noise.end(), slot.get());
    return slot;
  }
  // The frame that comes next, with its body in `into`.
  void receive(FrameHead& head, std::span<uint8_t> into) {
    auto more = receiver_->next(head);
    ASSERT_TRUE(more) << more.error().message;
    ASSERT_LE(head.header.body_length, into.size());
    iovec where{into.data(), head.header.body_length};
    land({&where, 1});
  }
  void land(std::span<iovec> where) {
    auto landed = receiver_->land(where);
    ASSERT_TRUE(landed) << landed.error().message;
    if (*landed) return;
    FrameHead none;
    auto news = receiver_->next(none);
    ASSERT_TRUE(news) << news.error().message;
    EXPECT_EQ(*news, LaneReceiver::News::body);
  }
  // Carries raw pages to a place, other ones each time, and looks whether they are there.
  void carry(std::span<uint8_t> place) {
    const Slot slot = filled_slot(next_seed_++);
    std::thread posting([&] { EXPECT_TRUE(post_raw(slot, place.size())); });
    FrameHead head;
    receive(head, place);
    posting.join();
    EXPECT_EQ(std::memcmp(place.data(), slot.get(), place.size()), 0);
  }

  test::Watchdog watchdog_{"a lane over a fabric"};
  SlotPool slots_{8};
  test::FabricPair pair_;
  std::optional<FabricLaneSender> sender_;
  std::optional<FabricLaneReceiver> receiver_;
  FabricDomain* domain_ = nullptr;  // the destination's
  uint32_t next_seed_ = 1;
  std::thread progress_;
  std::string end_;
};

TEST_P(FabricLane, CarriesBodiesOfAnyLength) {
  const Bytes table = test::noise(kMaxTable, 1);
  const std::vector<size_t> lengths = {0, 1, 40'000, 65'535, 65'536, 300'000, kMaxBody};
  std::thread posting([&] {
    for (const size_t length : lengths) {
      const Bytes body = test::noise(length, static_cast<uint32_t>(length));
      // In two parts that no message ends with.
      const std::array<std::span<const uint8_t>, 2> parts{std::span(body).first(length / 3),
                                                          std::span(body).subspan(length / 3)};
      EXPECT_TRUE(sender_->post({.type = FrameType::record, .sequence = length}, table, parts));
    }
    EXPECT_TRUE(sender_->complete());
  });
  for (const size_t length : lengths) {
    FrameHead head;
    Bytes body(kMaxBody);
    receive(head, body);
    body.resize(length);
    EXPECT_EQ(head.header.sequence, length);
    EXPECT_EQ(head.table, table);
    EXPECT_EQ(body, test::noise(length, static_cast<uint32_t>(length)));
  }
  posting.join();
  EXPECT_EQ(sender_->bytes_waiting(), 0u);
  EXPECT_EQ(receiver_->bytes_written(), 0u);
}

TEST_P(FabricLane, WritesRawPagesToMemoryThatIsAttached) {
  SlotPool there(8);
  receiver_->attach(there.memory());
  constexpr size_t kFrames = 40;  // more than there are credits
  std::thread posting([&] {
    for (uint32_t i = 0; i < kFrames; ++i) {
      const Slot slot = filled_slot(i);
      EXPECT_TRUE(post_raw(slot, kBatchBytes, i));
      EXPECT_TRUE(sender_->complete());
    }
  });
  for (uint32_t i = 0; i < kFrames; ++i) {
    const Slot slot = there.take();
    FrameHead head;
    receive(head, {slot.get(), kSlotBytes});
    const Bytes sent = test::noise(kSlotBytes, i);
    EXPECT_EQ(head.header.sequence, i);
    EXPECT_EQ(std::memcmp(slot.get(), sent.data(), kBatchBytes), 0) << i;
  }
  posting.join();
  EXPECT_EQ(receiver_->bytes_written(), kFrames * kBatchBytes);
}

TEST_P(FabricLane, BodiesComeInTheOrderOfTheirOffers) {
  constexpr uint32_t kBodies = 4;
  SlotPool there(kBodies);
  receiver_->attach(there.memory());
  std::thread posting([&] {
    std::vector<Slot> here;
    for (uint32_t i = 0; i < kBodies; ++i) {
      here.push_back(filled_slot(i));
      EXPECT_TRUE(post_raw(here.back(), kBatchBytes, i));
    }
    EXPECT_TRUE(sender_->post({.type = FrameType::record, .sequence = kBodies}, {}, {}));
    EXPECT_TRUE(sender_->complete());
  });
  std::vector<Slot> slots;
  FrameHead head;
  size_t bodies = 0;
  for (bool behind = false; !behind || bodies < kBodies;) {
    auto news = receiver_->next(head);
    ASSERT_TRUE(news) << news.error().message;
    if (*news == LaneReceiver::News::head && head.header.type == FrameType::batch) {
      EXPECT_EQ(head.header.sequence, slots.size());
      slots.push_back(there.take());
      iovec where{slots.back().get(), head.header.body_length};
      auto landed = receiver_->land({&where, 1});
      ASSERT_TRUE(landed) << landed.error().message;
      EXPECT_FALSE(*landed);
    } else if (*news == LaneReceiver::News::head) {
      behind = true;
    } else {
      const Bytes sent = test::noise(kSlotBytes, static_cast<uint32_t>(bodies));
      EXPECT_EQ(std::memcmp(slots[bodies++].get(), sent.data(), kBatchBytes), 0);
    }
  }
  posting.join();
}

TEST_P(FabricLane, PutsPagesWhereTheyBelongOneByOne) {
  SlotPool there(1);
  receiver_->attach(there.memory());
  const Slot slot = filled_slot(1);
  std::thread posting([&] { EXPECT_TRUE(post_raw(slot, kBatchBytes)); });
  FrameHead head;
  ASSERT_TRUE(receiver_->next(head));
  const Slot to = there.take();
  // The last page first.
  constexpr size_t kPage = 4096;
  constexpr size_t kPages = kBatchBytes / kPage;
  std::vector<iovec> where;
  for (size_t page = 0; page < kPages; ++page)
    where.push_back({to.get() + (kPages - 1 - page) * kPage, kPage});
  land(where);
  posting.join();
  EXPECT_EQ(receiver_->bytes_written(), kBatchBytes);
  const Bytes sent = test::noise(kSlotBytes, 1);
  for (size_t page = 0; page < kPages; ++page)
    EXPECT_EQ(std::memcmp(to.get() + (kPages - 1 - page) * kPage, sent.data() + page * kPage, kPage), 0)
        << page;
}

// Registration gives it memory, unless it is on demand, as libfabric's tcp always is. There a page that goes
// comes back.
TEST_P(FabricLane, LeavesAGuestSparse) {
  constexpr size_t kGuest = 16 << 20;
  constexpr size_t kPart = 4 << 20;
  constexpr size_t kBody = 65536;
  const Fd file(::memfd_create("guest", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), kGuest), 0);
  void* const mapping = ::mmap(nullptr, kGuest, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(mapping, MAP_FAILED);
  const std::span<uint8_t> guest(static_cast<uint8_t*>(mapping), kGuest);
  receiver_->attach_guest(guest);
  if (GetParam().fabric.provider == "tcp") {
    EXPECT_TRUE(domain_->on_demand());
  }
  constexpr int kRounds = 2;
  for (int round = 0; round < kRounds; ++round) {
    for (uint32_t i = 0; i < kGuest / kPart; ++i) {
      const Slot slot = filled_slot(i);
      std::thread posting([&] { EXPECT_TRUE(post_raw(slot, kBody)); });
      FrameHead head;
      receive(head, guest.subspan(i * kPart, kBody));
      posting.join();
      EXPECT_EQ(std::memcmp(&guest[i * kPart], slot.get(), kBody), 0);
    }
    struct stat status {};
    ASSERT_EQ(::fstat(file.get(), &status), 0);
    EXPECT_EQ(static_cast<size_t>(status.st_blocks) * 512, kGuest / kPart * kBody);
    ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kGuest), 0);
  }
  EXPECT_EQ(receiver_->bytes_written(), domain_->on_demand() ? kRounds * kGuest / kPart * kBody : 0);
  receiver_.reset();
  ::munmap(mapping, kGuest);
}

// What is resident already is registered by and by.
TEST_P(FabricLane, WritesToAGuestThatIsResident) {
  PageBytes guest(8 << 20, 1);
  receiver_->attach_guest(guest);
  while (receiver_->bytes_written() == 0 && !HasFailure())
    carry(std::span(guest).subspan(3 << 20, kBatchBytes));
}

// Over libfabric's tcp, which registers on demand. Its user chooses the keys, and one that is taken is
// refused.
class FabricLaneOnDemand : public FabricLane {
 protected:
  void SetUp() override {
    FabricLane::SetUp();
    ASSERT_TRUE(domain_->on_demand());
    receiver_->attach_guest(guest_);
    auto last = domain_->register_memory(page_, FabricDomain::Use::target);
    ASSERT_TRUE(last) << last.error().message;
    next_key_ = fi_mr_key(last->get()) + 1;
  }
  // Has the domain's registration fail that comes behind so many others.
  void fail_registration(uint64_t behind) {
    fid_mr* region = nullptr;
    ASSERT_EQ(fi_mr_reg(domain_->get(), page_.data(), page_.size(), FI_REMOTE_WRITE, 0, next_key_ + behind, 0,
                        &region, nullptr),
              0);
    taken_.emplace_back(region);
  }

  PageBytes guest_ = PageBytes(2 << 20, 1);  // one unit, all of which is there
  std::span<uint8_t> place_ = std::span(guest_).subspan(1 << 20, kBatchBytes);
  PageBytes page_ = PageBytes(4096);
  uint64_t next_key_ = 0;
  std::vector<fabric::Owned<fid_mr>> taken_;
};

// The first registration is the guest's, the second that of the memory which its pages go through instead.
TEST_P(FabricLaneOnDemand, RegistersBesidesWhatItCannotOnDemand) {
  fail_registration(0);
  carry(place_);
  EXPECT_FALSE(domain_->on_demand());
  EXPECT_EQ(receiver_->bytes_written(), 0u);
  while (receiver_->bytes_written() == 0 && !HasFailure()) carry(place_);
  EXPECT_EQ(domain_->trouble(), "");
}

TEST_P(FabricLaneOnDemand, CopiesWhatItCannotRegisterAtAll) {
  fail_registration(0);
  fail_registration(2);
  carry(place_);
  EXPECT_FALSE(domain_->on_demand());
  while (domain_->trouble().empty() && !HasFailure()) carry(place_);
  EXPECT_THAT(domain_->trouble(), testing::HasSubstr("cannot register memory"));
  carry(place_);
  EXPECT_EQ(receiver_->bytes_written(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Over, FabricLaneOnDemand, testing::Values(test::fabric_paths().front()),
                         testing::PrintToStringParamName());

TEST_P(FabricLane, EndsBothEndsWhenOneGoes) {
  FrameHead head;
  std::thread leaving([&] { sender_->shut(); });
  EXPECT_FALSE(receiver_->next(head));
  EXPECT_TRUE(receiver_->lost());
  leaving.join();
  progress_.join();
  EXPECT_NE(end_, "");
  EXPECT_FALSE(sender_->post({.type = FrameType::record}, {}, {}));
  EXPECT_FALSE(sender_->complete());
}

TEST_P(FabricLane, EndsTheSourceWhenTheDestinationGoes) {
  receiver_.reset();
  progress_.join();
  EXPECT_NE(end_, "");
}

// What a beat on a dead link comes to, only a network can show: tests/verbs/migrations.py.
class IdleFabricLane : public FabricLane {
 protected:
  IdleFabricLane() : FabricLane(std::chrono::seconds(3)) {}
};
TEST_P(IdleFabricLane, Beats) {
  constexpr uint64_t kBeat = 16;
  std::thread posting([&] {
    while (sender_->bytes_sent() < kBeat) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(sender_->bytes_sent(), kBeat);
    EXPECT_TRUE(sender_->post({.type = FrameType::record, .sequence = 7}, {}, {}));
  });
  FrameHead head;
  receive(head, {});
  EXPECT_EQ(head.header.sequence, 7u);
  posting.join();
}

INSTANTIATE_TEST_SUITE_P(Over, IdleFabricLane, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

INSTANTIATE_TEST_SUITE_P(Over, FabricLane, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

// One end is made by hand.
class FabricPeer : public testing::TestWithParam<test::Path> {
 protected:
  FabricPeer() : pair_(GetParam()) {}
  void SetUp() override { ASSERT_TRUE(pair_.source && pair_.destination) << pair_.error; }

  static void send(FabricConnection& from, uint8_t kind, const Bytes& bytes, uint32_t tag = 0,
                   uint32_t credits = 0, std::optional<uint32_t> length = {}) {
    Bytes message(16);
    message[0] = kind;
    const uint32_t rest[] = {length.value_or(static_cast<uint32_t>(bytes.size())), tag, credits};
    std::memcpy(message.data() + 4, rest, sizeof rest);
    message.insert(message.end(), bytes.begin(), bytes.end());
    auto buffer = from.take();
    ASSERT_TRUE(buffer);
    std::copy(message.begin(), message.end(), (*buffer)->bytes.begin());
    EXPECT_TRUE(from.send(*buffer, message.size()));
  }
  static Bytes frame(FrameHeader header) {
    const HeaderBytes head = encode_header(header, {});
    return {head.begin(), head.end()};
  }
  static Bytes piece(uint64_t address, uint64_t key, uint32_t length) {
    Bytes bytes(24);
    std::memcpy(bytes.data(), &address, 8);
    std::memcpy(bytes.data() + 8, &key, 8);
    std::memcpy(bytes.data() + 16, &length, 4);
    return bytes;
  }
  // The error of the destination's, about what the source sent.
  std::string receive() {
    FabricLaneReceiver receiver(std::move(pair_.destination));
    FrameHead head;
    auto more = receiver.next(head);
    if (!more) {
      EXPECT_FALSE(receiver.lost());
      return more.error().message;
    }
    Bytes body(kMaxBody);
    iovec where{body.data(), head.header.body_length};
    auto landed = receiver.land({&where, 1});
    EXPECT_FALSE(receiver.lost());
    if (!landed) return landed.error().message;
    if (!*landed) more = receiver.next(head);
    return more ? "" : more.error().message;
  }
  // What ends a source that has offered a batch and is answered so.
  template <class Answer>
  std::string offer_and(Answer&& answer) {
    SlotPool slots(2);
    FabricLaneSender sender(std::move(pair_.source));
    EXPECT_TRUE(sender.attach(slots.memory()));
    const Slot slot = slots.take();
    const std::span<const uint8_t> body(slot.get(), 65536);
    EXPECT_TRUE(sender.post({.type = FrameType::batch}, {}, {&body, 1}));
    answer(*pair_.destination);
    // Completions are taken by whoever looks.
    std::thread looking([&] {
      while (!pair_.destination->ended() && pair_.destination->next(std::chrono::milliseconds(20))) {
      }
    });
    const std::string why = sender.await_end().message;
    pair_.destination->shut();
    looking.join();
    return why;
  }

  test::Watchdog watchdog_{"a fabric peer"};
  test::FabricPair pair_;
};

TEST_P(FabricPeer, MessagesThatAreNoFrame) {
  send(*pair_.source, 9, Bytes(100));
  EXPECT_THAT(receive(), testing::HasSubstr("kind 9"));
}
TEST_P(FabricPeer, AMessageLongerThanItself) {
  send(*pair_.source, 1, Bytes(100), 0, 0, 200);
  EXPECT_THAT(receive(), testing::HasSubstr("unsound"));
}
TEST_P(FabricPeer, ADamagedHead) {
  Bytes head = frame({.type = FrameType::record});
  head[20] ^= 1;
  send(*pair_.source, 1, head);
  EXPECT_THAT(receive(), testing::HasSubstr("damaged"));
}
TEST_P(FabricPeer, HalfATable) {
  send(*pair_.source, 1, frame({.type = FrameType::batch, .table_length = 32}));
  EXPECT_THAT(receive(), testing::HasSubstr("half a table"));
}
TEST_P(FabricPeer, MoreThanABody) {
  Bytes bytes = frame({.type = FrameType::record, .body_length = 4});
  bytes.resize(bytes.size() + 5);
  send(*pair_.source, 1, bytes);
  EXPECT_THAT(receive(), testing::HasSubstr("more than a body"));
}
TEST_P(FabricPeer, ADamagedBody) {
  Bytes bytes = frame({.type = FrameType::record, .body_length = 4, .body_sum = 1});
  bytes.resize(bytes.size() + 4);
  send(*pair_.source, 1, bytes);
  EXPECT_THAT(receive(), testing::HasSubstr("damaged"));
}
TEST_P(FabricPeer, AnOfferOfNothing) {
  send(*pair_.source, 3, frame({.type = FrameType::batch}));
  EXPECT_THAT(receive(), testing::HasSubstr("unsound"));
}
TEST_P(FabricPeer, AnOfferWithAPack) {
  FrameHeader header{.type = FrameType::batch, .body_length = 65536};
  header.pack_length = header.plain_length = 4096;
  send(*pair_.source, 3, frame(header));
  EXPECT_THAT(receive(), testing::HasSubstr("unsound"));
}
TEST_P(FabricPeer, AnOfferOfNoBatch) {
  send(*pair_.source, 3, frame({.type = FrameType::record, .body_length = 65536}));
  EXPECT_THAT(receive(), testing::HasSubstr("unsound"));
}
// A source that writes nothing yet.
TEST_P(FabricPeer, SeveralOffersAreGrantedAtOnce) {
  constexpr uint32_t kOffers = 4;
  for (uint32_t tag = 0; tag < kOffers; ++tag)
    send(*pair_.source, 3, frame({.type = FrameType::batch, .sequence = tag, .body_length = 65536}), tag);
  SlotPool slots(kOffers);
  FabricLaneReceiver receiver(std::move(pair_.destination));
  receiver.attach(slots.memory());
  std::vector<Slot> bodies;
  for (uint32_t tag = 0; tag < kOffers; ++tag) {
    FrameHead head;
    auto news = receiver.next(head);
    ASSERT_TRUE(news) << news.error().message;
    EXPECT_EQ(head.header.sequence, tag);
    bodies.push_back(slots.take());
    iovec where{bodies.back().get(), 65536};
    auto landed = receiver.land({&where, 1});
    ASSERT_TRUE(landed) << landed.error().message;
    EXPECT_FALSE(*landed);
  }
  for (uint32_t tag = 0; tag < kOffers;) {
    auto event = pair_.source->next(std::chrono::milliseconds(20));
    ASSERT_TRUE(event) << event.error().message;
    if (!*event) continue;
    const std::span<const uint8_t> grant = (*event)->message->bytes;
    EXPECT_EQ(grant[0], 4);
    EXPECT_EQ(grant[8], tag++);
    pair_.source->release((*event)->message);
  }
}
TEST_P(FabricPeer, AnotherFrameInTheMiddleOfABody) {
  Bytes bytes = frame({.type = FrameType::record, .body_length = 1000});
  bytes.resize(bytes.size() + 4);
  send(*pair_.source, 1, bytes);
  send(*pair_.source, 1, frame({.type = FrameType::record}));
  EXPECT_THAT(receive(), testing::HasSubstr("instead of a body"));
}
TEST_P(FabricPeer, ABeatInTheMiddleOfABody) {
  Bytes bytes = frame({.type = FrameType::record, .body_length = 1000});
  bytes.resize(bytes.size() + 4);
  send(*pair_.source, 1, bytes);
  send(*pair_.source, 6, {});
  EXPECT_THAT(receive(), testing::HasSubstr("kind 6 instead of a body"));
}
TEST_P(FabricPeer, ABeatWithABody) {
  send(*pair_.source, 6, Bytes(1));
  EXPECT_THAT(receive(), testing::HasSubstr("kind 6 and 1 bytes"));
}
TEST_P(FabricPeer, BeatsAreNoFramesAndGiveTheirCreditsBack) {
  constexpr uint32_t kBeats = 24;  // no more than it has buffers for
  for (uint32_t i = 0; i < kBeats; ++i) send(*pair_.source, 6, {});
  send(*pair_.source, 1, frame({.type = FrameType::record, .sequence = 7}));
  FabricLaneReceiver receiver(std::move(pair_.destination));
  FrameHead head;
  auto news = receiver.next(head);
  ASSERT_TRUE(news) << news.error().message;
  EXPECT_EQ(head.header.sequence, 7u);
  for (uint32_t credits = 0; credits < kBeats;) {
    auto event = pair_.source->next(std::chrono::milliseconds(20));
    ASSERT_TRUE(event) << event.error().message;
    if (!*event) continue;
    uint32_t given = 0;
    std::memcpy(&given, (*event)->message->bytes.data() + 12, sizeof given);
    credits += given;
    pair_.source->release((*event)->message);
  }
}
TEST_P(FabricPeer, AGrantOfNothing) {
  EXPECT_THAT(offer_and([](FabricConnection& peer) { send(peer, 4, piece(0, 0, 65536), 7); }),
              testing::HasSubstr("not offered"));
}
TEST_P(FabricPeer, AGrantThatIsTooShort) {
  EXPECT_THAT(offer_and([](FabricConnection& peer) { send(peer, 4, piece(0, 0, 65535)); }),
              testing::HasSubstr("65535 bytes of 65536"));
}
TEST_P(FabricPeer, AGrantThatOverflows) {
  Bytes pieces = piece(0, 0, 0xffffffff);
  const Bytes second = piece(0, 0, 65537);
  pieces.insert(pieces.end(), second.begin(), second.end());
  EXPECT_THAT(offer_and([&](FabricConnection& peer) { send(peer, 4, pieces); }),
              testing::HasSubstr("of 65536"));
}
TEST_P(FabricPeer, MoreCreditsThanThereAre) {
  EXPECT_THAT(offer_and([](FabricConnection& peer) { send(peer, 5, {}, 0, 1000); }),
              testing::HasSubstr("gives back more"));
}
TEST_P(FabricPeer, AGrantWithAWrongKey) {
  EXPECT_NE(offer_and([](FabricConnection& peer) { send(peer, 4, piece(4096, 0x5eed, 65536)); }), "");
}
TEST_P(FabricPeer, AWriteWithoutAGrant) {
  SlotPool here(1);
  SlotPool there(1);
  pair_.source->domain().add_own(here.memory(), kSlotBytes, FabricDomain::Use::source);
  pair_.destination->domain().add_own(there.memory(), kSlotBytes, FabricDomain::Use::target);
  auto reach = pair_.destination->domain().own(there.memory().first(4096));
  ASSERT_TRUE(reach);
  const std::span<const uint8_t> page = here.memory().first(4096);
  ASSERT_TRUE(pair_.source->write({&page, 1}, {reach->address, reach->key}, 3));
  EXPECT_THAT(receive(), testing::HasSubstr("without a grant"));
}

// A destination that names the source's own memory as if it were a target.
TEST_P(FabricPeer, AWriteToASourceFails) {
  SlotPool here(1);
  SlotPool there(1);
  pair_.source->domain().add_own(here.memory(), kSlotBytes, FabricDomain::Use::source);
  pair_.destination->domain().add_own(there.memory(), kSlotBytes, FabricDomain::Use::source);
  auto reach = pair_.source->domain().own(here.memory().first(4096));
  ASSERT_TRUE(reach);
  std::fill(here.memory().begin(), here.memory().begin() + 4096, uint8_t{1});
  const std::span<const uint8_t> page = there.memory().first(4096);
  ASSERT_TRUE(pair_.destination->write({&page, 1}, {reach->address, reach->key}, 3));
  std::thread looking([&] {
    while (pair_.source->next(std::chrono::milliseconds(20))) {
    }
  });
  while (!pair_.destination->idle() && pair_.destination->next(std::chrono::milliseconds(20))) {
  }
  EXPECT_TRUE(pair_.destination->ended());
  pair_.source->shut();
  looking.join();
  EXPECT_EQ(here.memory()[0], 1);
}

INSTANTIATE_TEST_SUITE_P(Over, FabricPeer, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

TEST(FabricCall, WithAnotherKeyIsRefused) {
  test::Watchdog watchdog("a refused call");
  const std::array<uint8_t, 16> wrong{9};
  const test::FabricPair pair(test::fabric_paths().front(), wrong);
  EXPECT_FALSE(pair.source);
  EXPECT_FALSE(pair.destination);
  EXPECT_THAT(pair.error, testing::HasSubstr("refused"));
}

}  // namespace
}  // namespace wherry
