#include "qemu-glue/convergence/auto_converge.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "qemu-glue/monitor/json_member.h"

namespace wherry::convergence {
namespace {

using nlohmann::json;

constexpr int kLeast = 1;  // the least throttle that QEMU accepts, percent
constexpr int kAll = 99;   // the most throttle that QEMU accepts, percent
constexpr std::chrono::milliseconds kSoon{20};
constexpr int kLooksAtTheEnd = 100;

json defaults() {
  return {{"cpu-throttle-initial", 20},
          {"cpu-throttle-increment", 10},
          {"cpu-throttle-tailslow", false},
          {"max-cpu-throttle", 99},
          {"throttle-trigger-threshold", 50}};
}

Result<json> set_capability(Monitor& qemu, bool on) {
  const json capability = {{"capability", AutoConverge::kName}, {"state", on}};
  return qemu.execute("migrate-set-capabilities", {{"capabilities", json::array({capability})}});
}

bool is_ours(const json& parameters) {
  const json* initial = qemu::member(parameters, "cpu-throttle-initial");
  const json* most = qemu::member(parameters, "max-cpu-throttle");
  return qemu::number_member(parameters, "cpu-throttle-increment") == kAll && initial != nullptr &&
         initial->is_number() && most != nullptr && *initial == *most;
}

}  // namespace

Result<std::unique_ptr<Throttle>> AutoConverge::take(Monitor& qemu) {
  auto capabilities = qemu.execute("query-migrate-capabilities");
  if (!capabilities) return pass_on(capabilities);
  const bool is_on = std::any_of(capabilities->begin(), capabilities->end(), [](const json& each) {
    const std::string* name = qemu::text_member(each, "capability");
    return name != nullptr && *name == kName && qemu::is_set(each, "state");
  });
  auto parameters = qemu.execute("query-migrate-parameters");
  if (!parameters) return pass_on(parameters);
  json before = defaults();
  for (auto& [name, value] : before.items()) {
    if (!parameters->contains(name)) return fail("this QEMU has no parameter {}", name);
    value = (*parameters)[name];
  }
  std::unique_ptr<AutoConverge> taken(new AutoConverge(qemu, std::move(before)));
  auto prepared = qemu.execute("migrate-set-parameters", {{"cpu-throttle-initial", kLeast},
                                                          {"cpu-throttle-increment", kAll},
                                                          {"cpu-throttle-tailslow", false},
                                                          {"max-cpu-throttle", kLeast},
                                                          {"throttle-trigger-threshold", 100}});
  if (!prepared) return pass_on(prepared);
  if (!is_on) {
    if (auto switched = set_capability(qemu, true); !switched) return pass_on(switched);
    taken->switched_on_ = true;
  }
  return taken;
}

AutoConverge::~AutoConverge() {
  // If QEMU is gone, there is nothing to restore.
  for (int looks = 0; switched_on_ && looks < kLooksAtTheEnd; ++looks) {
    if (set_capability(qemu_, false) || !qemu_.execute("query-migrate")) break;
    std::this_thread::sleep_for(kSoon);
  }
  (void)qemu_.execute("migrate-set-parameters", before_);
}

Result<> AutoConverge::throttle(double part) {
  const int percent = std::clamp(static_cast<int>(std::lround(part * 100)), kLeast, kAll);
  if (percent == percent_) return {};
  auto told = qemu_.execute(
      "migrate-set-parameters",
      {{"cpu-throttle-initial", percent}, {"max-cpu-throttle", percent}, {"throttle-trigger-threshold", 1}},
      kSwitchoverTimeout);
  if (!told) return pass_on(told);
  percent_ = percent;
  return {};
}

void AutoConverge::release_abandoned(Monitor& qemu) {
  const auto parameters = qemu.execute("query-migrate-parameters");
  if (!parameters || !is_ours(*parameters)) return;
  // QEMU refuses this while it migrates. Then somebody is using them.
  if (set_capability(qemu, false)) (void)qemu.execute("migrate-set-parameters", defaults());
}

}  // namespace wherry::convergence
