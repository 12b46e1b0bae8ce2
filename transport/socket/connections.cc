#include "transport/socket/connections.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <new>

#include "base/errno.h"

namespace wherry {

Result<> Connections::serve(Fd&& connection, std::function<void(Fd)> work) {
  reap();
  Lock lock(mutex_);
  if (shut_ || served_.size() >= most_) {
    connection.reset();
    return {};
  }
  Fd also(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
  if (!also) return fail("cannot serve a connection: {}", reason(errno));
  Served& served = served_.emplace_back();
  served.connection = std::move(connection);
  served.also = std::move(also);
  auto thread = start_thread(name_, [this, &served, work = std::move(work)] {
    try {
      work(std::move(served.connection));
    } catch (const std::bad_alloc&) {  // this connection has ended with that, and no other
    }
    Lock over(mutex_);
    served.also.reset();
    served.over = true;
  });
  if (!thread) {
    connection = std::move(served.connection);
    served_.pop_back();
    return fail("cannot serve a connection: {}", thread.error().message);
  }
  served.thread = std::move(*thread);
  return {};
}

// Joins the threads that have ended.
void Connections::reap() {
  std::list<Served> over;
  {
    Lock lock(mutex_);
    for (auto at = served_.begin(); at != served_.end();) {
      const auto next = std::next(at);
      if (at->over) over.splice(over.end(), served_, at);
      at = next;
    }
  }
  for (Served& each : over) each.thread.join();
}

void Connections::shut() {
  Lock lock(mutex_);
  shut_ = true;
  for (Served& each : served_) {
    if (each.also) ::shutdown(each.also.get(), SHUT_RDWR);
  }
}

size_t Connections::count() const {
  Lock lock(mutex_);
  size_t count = 0;
  for (const Served& each : served_) count += !each.over;
  return count;
}

Connections::~Connections() {
  shut();
  for (Served& each : served_) each.thread.join();
}

}  // namespace wherry
