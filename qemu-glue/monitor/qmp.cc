#include "qemu-glue/monitor/qmp.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "base/errno.h"
#include "base/printable.h"
#include "qemu-glue/monitor/json_member.h"
#include "transport/socket/endpoint.h"

namespace wherry {

namespace {

using qemu::member;
using qemu::number_member;
using qemu::text_member;

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Bounded, so that a very large timeout does not overflow.
Clock::time_point deadline_after(milliseconds timeout) {
  return Clock::now() + std::clamp(timeout, milliseconds(0), milliseconds(std::chrono::hours(24)));
}

// Waits for `what` on a descriptor. False at the deadline. Polls once even if the deadline has passed.
bool wait_for(int fd, short what, Clock::time_point deadline) {
  for (;;) {
    auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
    pollfd entry{fd, what, 0};
    int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // the next call reports the error
    if (Clock::now() >= deadline) return false;
  }
}

// Leaves out what is nested deeper than anything of QEMU's: the library recurses when it copies and prints.
bool is_shallow(int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
  constexpr int kDeepest = 64;
  return depth < kDeepest;
}

// The beginning of an unexpected line, for error messages.
std::string excerpt(std::string_view line) {
  return printable(line.substr(0, line.find('\n')), 80);
}

// A command may contain a path that is not UTF-8, on which nlohmann would throw by default.
std::string to_line(const nlohmann::json& message) {
  return message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

double QmpEvent::age_s() const {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return time_s > 0 ? std::max(0.0, std::chrono::duration<double>(now).count() - time_s) : 0;
}

Result<std::unique_ptr<Qmp>> Qmp::connect(const std::string& path, milliseconds timeout) {
  auto deadline = deadline_after(timeout);
  const std::string shown = printable(path);  // it may come from a QEMU's command line
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() > kLongestSocketPath)
    return fail("the QMP path '{}' must have 1 to {} bytes", shown, kLongestSocketPath);
  std::memcpy(address.sun_path, path.data(), path.size());

  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail("cannot create a socket: {}", reason(errno));
  const uint64_t since = ticks_now();
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return fail("cannot connect to QEMU's monitor {}: {}", shown, reason(errno));
    // The queue of the listening unix socket is full. No event tells when it has room again.
    if (Clock::now() >= deadline) {
      return fail("QEMU's monitor {} accepted no connection within {} ms: it is occupied by another client",
                  shown, timeout.count());
    }
    std::this_thread::sleep_for(milliseconds(10));
  }

  std::unique_ptr<Qmp> qmp(new Qmp(shown, std::move(socket)));
  // An Error: it has ended, like a libvirt that was restarted. The monitor is one nevertheless.
  if (auto peer = PeerProcess::of(qmp->socket_.get(), since)) qmp->peer_ = std::move(*peer);
  auto greeted = qmp->greet(deadline, timeout);
  if (!greeted) return pass_on(greeted);
  return qmp;
}

Result<> Qmp::greet(Clock::time_point deadline, milliseconds timeout) {
  nlohmann::json greeting;
  switch (receive(greeting, deadline)) {
    case Got::broken:
      return tl::make_unexpected(*broken_);
    case Got::timeout:
      // The kernel completes a connection that QEMU has not accepted, so a missing greeting is the only sign.
      return fail(
          "QEMU's monitor {} sent no greeting within {} ms: it is occupied by another client (QEMU serves "
          "one at a "
          "time), or that QEMU hangs; give QEMU one more -qmp socket for Wherry",
          path_, timeout.count());
    case Got::line:
      break;
  }
  const nlohmann::json* qmp = member(greeting, "QMP");
  if (qmp == nullptr || !qmp->is_object()) {
    return fail("{} is not a QMP monitor: its greeting is '{}'", path_, excerpt(to_line(greeting)));
  }
  const nlohmann::json* offered = member(*qmp, "capabilities");
  bool oob = offered != nullptr && offered->is_array() &&
             std::any_of(offered->begin(), offered->end(), [](const auto& name) { return name == "oob"; });
  nlohmann::json arguments;
  if (oob) arguments = {{"enable", nlohmann::json::array({"oob"})}};
  auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  auto answer = request("execute", "qmp_capabilities", std::move(arguments), std::max(left, milliseconds(0)));
  if (!answer) return pass_on(answer);
  oob_ = oob;
  return {};
}

Result<nlohmann::json> Qmp::execute(std::string_view command, nlohmann::json arguments,
                                    milliseconds timeout) {
  return request("execute", command, std::move(arguments), timeout);
}

Result<nlohmann::json> Qmp::execute_oob(std::string_view command, nlohmann::json arguments,
                                        milliseconds timeout) {
  if (!oob_) return fail("QEMU's monitor {} offers no out-of-band commands; '{}' needs them", path_, command);
  return request("exec-oob", command, std::move(arguments), timeout);
}

Result<nlohmann::json> Qmp::request(const char* verb, std::string_view command, nlohmann::json arguments,
                                    milliseconds timeout) {
  if (broken_) return tl::make_unexpected(*broken_);
  auto deadline = deadline_after(timeout);
  uint64_t id = ++last_id_;
  nlohmann::json message{{verb, std::string(command)}, {"id", id}};
  if (!arguments.is_null()) message["arguments"] = std::move(arguments);
  auto sent = send_line(to_line(message), deadline);
  if (!sent) return pass_on(sent);

  for (;;) {
    nlohmann::json answer;
    switch (receive(answer, deadline)) {
      case Got::broken:
        return tl::make_unexpected(*broken_);
      case Got::timeout:
        return fail("QEMU's monitor {} did not answer '{}' within {} ms", path_, command, timeout.count());
      case Got::line:
        break;
    }
    const nlohmann::json* error = member(answer, "error");
    const nlohmann::json* answered = member(answer, "id");
    if (answered == nullptr) {
      // QEMU omits the id if it could not parse the request. Only one request is ever open, so it is that
      // one.
      if (error == nullptr) continue;
    } else if (*answered != id) {
      continue;  // the late answer to a command that timed out
    }
    if (error != nullptr) {
      const std::string* description = text_member(*error, "desc");
      return fail("QEMU refuses '{}': {}", command,
                  description != nullptr ? printable(*description) : "no reason given");
    }
    auto value = answer.find("return");
    if (value == answer.end()) {
      break_off(fmt::format("it answered '{}' with neither a return value nor an error", command));
      return tl::make_unexpected(*broken_);
    }
    return std::move(*value);
  }
}

Result<> Qmp::send_line(const std::string& line, Clock::time_point deadline) {
  size_t done = 0;
  while (done < line.size()) {
    ssize_t n = ::send(socket_.get(), line.data() + done, line.size() - done, MSG_NOSIGNAL);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      if (wait_for(socket_.get(), POLLOUT, deadline)) continue;
      if (done == 0) return fail("QEMU's monitor {} reads no commands: QEMU hangs", path_);
      break_off("it reads no commands, and one was sent in part");
      return tl::make_unexpected(*broken_);
    } else if (errno != EINTR) {
      break_off(reason(errno));
      return tl::make_unexpected(*broken_);
    }
  }
  return {};
}

// The next message that is not an event; events before it go to the queue. Reads the socket at least once
// even if the deadline has passed, but only once after the deadline, so that a flood of events cannot hold
// the caller.
Qmp::Got Qmp::receive(nlohmann::json& message, Clock::time_point deadline) {
  if (broken_) return Got::broken;
  for (bool looked = false;; looked = true) {
    size_t end;
    while ((end = input_.find('\n', searched_)) != std::string::npos) {
      std::string_view line = std::string_view(input_).substr(taken_, end - taken_);
      taken_ = searched_ = end + 1;
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
      if (line.empty()) continue;
      message = nlohmann::json::parse(line, is_shallow, /*allow_exceptions=*/false);
      if (!message.is_object()) {
        return break_off(fmt::format("it sent something other than a JSON object: '{}'", excerpt(line)));
      }
      if (text_member(message, "event") == nullptr) return Got::line;
      keep_event(message);
    }
    input_.erase(0, taken_);
    taken_ = 0;
    searched_ = input_.size();
    if (searched_ > kLongestLine) {
      return break_off(fmt::format("it sent a line of more than {} bytes", kLongestLine));
    }

    if (looked && Clock::now() >= deadline) return Got::timeout;
    if (!wait_for(socket_.get(), POLLIN, deadline)) return Got::timeout;
    std::array<char, 65536> buffer;
    ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      input_.append(buffer.data(), static_cast<size_t>(n));
    } else if (n == 0) {
      return break_off(input_.empty() ? "it closed the connection: QEMU has ended or removed the monitor"
                                      : "it closed the connection in the middle of a line");
    } else if (errno != EAGAIN && errno != EINTR) {
      return break_off(reason(errno));
    }
  }
}

void Qmp::keep_event(nlohmann::json& message) {
  QmpEvent event;
  event.name = *text_member(message, "event");
  auto data = message.find("data");
  event.data = data != message.end() && data->is_object() ? std::move(*data) : nlohmann::json::object();
  if (const nlohmann::json* time = member(message, "timestamp")) {
    event.time_s = number_member(*time, "seconds") + number_member(*time, "microseconds") / 1e6;
  }
  if (event.name == "STOP") stopped(event.age_s());
  if (events_.size() >= kMostEvents) events_.pop_front();
  events_.push_back(std::move(event));
}

std::optional<QmpEvent> Qmp::next_event(milliseconds timeout) {
  auto deadline = deadline_after(timeout);
  for (;;) {
    if (!events_.empty()) {
      QmpEvent event = std::move(events_.front());
      events_.pop_front();
      return event;
    }
    if (broken_) return std::nullopt;
    // receive() would go on waiting for an answer after an event, so it is called only for what has arrived.
    bool more = wait_for(socket_.get(), POLLIN, deadline);
    nlohmann::json late_answer;
    while (receive(late_answer, Clock::time_point{}) == Got::line) {
    }
    if (!more && events_.empty()) return std::nullopt;
  }
}

Qmp::Got Qmp::break_off(std::string reason) {
  if (!broken_) broken_ = Error{fmt::format("QEMU's monitor {}: {}", path_, reason)};
  socket_.reset();
  input_.clear();
  taken_ = searched_ = 0;
  return Got::broken;
}

}  // namespace wherry
