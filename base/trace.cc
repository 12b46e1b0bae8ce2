#include "base/trace.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/errno.h"
#include "base/start_thread.h"

namespace wherry {

Result<std::unique_ptr<Trace>> Trace::open(const std::string& path) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return fail("cannot write the trace {}: {}", path, reason(errno));
  std::unique_ptr<Trace> trace(new Trace(std::move(file)));
  auto writes = start_thread("trace", [self = trace.get()] { self->write_lines(); });
  if (!writes) return pass_on(writes);
  trace->writer_ = std::move(*writes);
  return trace;
}

Trace::~Trace() {
  {
    Lock lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  if (writer_.joinable()) writer_.join();
}

nlohmann::json Trace::begin_line(const char* name) const {
  const std::chrono::duration<double> t = std::chrono::steady_clock::now() - since_.load();
  return {{"t", t.count()}, {"process", ::getpid()}, {"event", name}};
}

void Trace::event(const char* end, const char* name, const nlohmann::json& fields) {
  Lock lock(mutex_);  // from here on, so that the lines are in the order of t
  if (waiting_.size() >= kMostWaiting) {
    ++dropped_;
    return;
  }
  nlohmann::json line = begin_line(name);
  line["end"] = end;
  line.update(fields);
  // Text from a peer may be anything.
  waiting_.push_back(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  changed_.notify_all();
}

// Whole lines in one write, because other processes may add theirs to the same file.
void Trace::write_lines() {
  Lock lock(mutex_);
  for (;;) {
    while (!over_ && waiting_.empty()) changed_.wait(mutex_);
    if (waiting_.empty()) return;
    const std::deque<std::string> lines = std::exchange(waiting_, {});
    const size_t dropped = std::exchange(dropped_, 0);
    nlohmann::json gap;
    if (dropped > 0) gap = begin_line("dropped");
    lock.unlock();
    std::string text;
    for (const std::string& line : lines) text += line + '\n';
    if (dropped > 0) {
      gap["lines"] = dropped;
      text += gap.dump() + '\n';
    }
    // A disk that is full must not end a migration, and there is nobody to tell.
    (void)!::write(file_.get(), text.data(), text.size());
    lock.lock();
  }
}

}  // namespace wherry
