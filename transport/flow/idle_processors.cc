#include "transport/flow/idle_processors.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

#include "base/mutex.h"

namespace wherry {
namespace {

struct Ticks {
  uint64_t idle = 0;
  uint64_t all = 0;
};

// The first line of /proc/stat: cpu user nice system idle iowait irq softirq steal …
Ticks read_ticks() {
  std::ifstream file("/proc/stat");
  std::string name;
  file >> name;
  Ticks ticks;
  uint64_t value = 0;
  for (int column = 0; column < 8 && file >> value; ++column) {
    ticks.all += value;
    if (column == 3) ticks.idle = value;
  }
  return ticks;
}

}  // namespace

double idle_processors() {
  static Mutex mutex;
  static Ticks before WHERRY_GUARDED_BY(mutex);
  static double share WHERRY_GUARDED_BY(mutex) = 0;
  Lock lock(mutex);
  const Ticks now = read_ticks();
  // Several sessions of a process may ask at nearly the same time, and a tick or two says nothing.
  constexpr uint64_t kEnough = 10;
  if (now.all >= before.all + kEnough) {
    if (before.all > 0)
      share = static_cast<double>(now.idle - std::min(now.idle, before.idle)) /
              static_cast<double>(now.all - before.all);
    before = now;
  }
  return share * std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace wherry
