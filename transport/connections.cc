#include "transport/connections.h"

#include <sys/socket.h>

namespace wherry {

void Connections::serve(Fd connection, std::function<void(Fd)> work) {
  reap();
  std::lock_guard lock(mutex_);
  if (shut_) return;
  Served& served = served_.emplace_back();
  served.also = Fd(::dup(connection.get()));
  served.thread =
      std::thread([this, &served, connection = std::move(connection), work = std::move(work)]() mutable {
        work(std::move(connection));
        std::lock_guard over(mutex_);
        served.also.reset();
        served.over = true;
      });
}

// Joins the threads that have ended.
void Connections::reap() {
  std::list<Served> over;
  {
    std::lock_guard lock(mutex_);
    for (auto at = served_.begin(); at != served_.end();) {
      const auto next = std::next(at);
      if (at->over) over.splice(over.end(), served_, at);
      at = next;
    }
  }
  for (Served& each : over) each.thread.join();
}

void Connections::shut() {
  std::lock_guard lock(mutex_);
  shut_ = true;
  for (Served& each : served_) {
    if (each.also) ::shutdown(each.also.get(), SHUT_RDWR);
  }
}

size_t Connections::count() const {
  std::lock_guard lock(mutex_);
  size_t count = 0;
  for (const Served& each : served_) count += !each.over;
  return count;
}

Connections::~Connections() {
  shut();
  for (Served& each : served_) each.thread.join();
}

}  // namespace wherry
