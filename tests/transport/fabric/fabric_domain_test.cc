// Which memory a domain registers, seen through a lane whose bodies go there.
#include "transport/fabric/fabric_domain.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>

#include "compression/page_batch.h"
#include "tests/base/expect_error.h"
#include "tests/transport/fabric/joined_lane.h"

namespace wherry {
namespace {

class FabricRegistration : public test::JoinedLane {};

// Registration makes memory resident, unless it is on demand, as with libfabric's tcp it always is. Then a
// page that was taken away comes back.
TEST_P(FabricRegistration, LeavesAGuestSparse) {
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

// What is resident already is registered after some time.
TEST_P(FabricRegistration, WritesToAGuestThatIsResident) {
  PageBytes guest(8 << 20, 1);
  receiver_->attach_guest(guest);
  while (receiver_->bytes_written() == 0 && !HasFailure())
    carry(std::span(guest).subspan(3 << 20, kBatchBytes));
}

INSTANTIATE_TEST_SUITE_P(Over, FabricRegistration, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

// Over libfabric's tcp, which registers on demand. There the program chooses the keys, and a key that is in
// use is refused.
class FabricRegistrationOnDemand : public test::JoinedLane {
 protected:
  void SetUp() override {
    JoinedLane::SetUp();
    ASSERT_TRUE(domain_->on_demand());
    receiver_->attach_guest(guest_);
    auto last = domain_->register_memory(page_, FabricDomain::Use::target);
    ASSERT_TRUE(last) << last.error().message;
    next_key_ = fi_mr_key(last->get()) + 1;
  }
  // Lets one of the domain's registrations fail: that after `others` other ones.
  void fail_registration(uint64_t others) {
    fid_mr* region = nullptr;
    ASSERT_EQ(fi_mr_reg(domain_->get(), page_.data(), page_.size(), FI_REMOTE_WRITE, 0, next_key_ + others, 0,
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
TEST_P(FabricRegistrationOnDemand, RegistersBesidesWhatItCannotOnDemand) {
  fail_registration(0);
  carry(place_);
  EXPECT_FALSE(domain_->on_demand());
  EXPECT_EQ(receiver_->bytes_written(), 0u);
  while (receiver_->bytes_written() == 0 && !HasFailure()) carry(place_);
  EXPECT_EQ(domain_->trouble(), "");
}

TEST_P(FabricRegistrationOnDemand, CopiesWhatItCannotRegisterAtAll) {
  fail_registration(0);
  fail_registration(2);
  carry(place_);
  EXPECT_FALSE(domain_->on_demand());
  while (domain_->trouble().empty() && !HasFailure()) carry(place_);
  EXPECT_ERROR(domain_->trouble(), "cannot register memory");
  carry(place_);
  EXPECT_EQ(receiver_->bytes_written(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Over, FabricRegistrationOnDemand, testing::Values(test::fabric_paths().front()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace wherry
