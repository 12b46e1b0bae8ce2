#include "qemu-glue/daemon/errands.h"

#include <sys/socket.h>

#include <array>

#include "base/printable.h"
#include "transport/socket/connect.h"
#include "transport/socket/socket.h"

namespace wherry::daemon {
namespace {

constexpr size_t kLongestQuestion = 64 * 1024;
// In bytes. A status has a few kB for each migration.
constexpr size_t kLongestAnswer = 4 * 1024 * 1024;
// Longer than making a route, which waits up to 30 seconds for the far host.
constexpr std::chrono::seconds kAnswerPatience{60};

// How long others may have to wait for who asks nothing.
constexpr std::chrono::milliseconds kAtHand{50};

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

// Reads the next line, without its line feed.
Result<std::string> read_line(int fd, std::string& unread, size_t longest) {
  for (;;) {
    if (const size_t end = unread.find('\n'); end != std::string::npos) {
      std::string line = unread.substr(0, end);
      unread.erase(0, end + 1);
      return line;
    }
    if (unread.size() > longest) return fail("a line of more than {} bytes", longest);
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return fail("it closed the connection");
    if (got < 0) return fail("{}", reason(errno, fd));
    unread.append(bytes.data(), static_cast<size_t>(got));
  }
}

Result<> write_line(int fd, const nlohmann::json& json) {
  const std::string line = json.dump(-1, ' ', false, kReplace) + "\n";
  return send_all(fd, {reinterpret_cast<const uint8_t*>(line.data()), line.size()});
}

}  // namespace

void serve_errands(const Fd& connection, const Errand& errand) {
  std::string unread;
  while (auto line = read_line(connection.get(), unread, kLongestQuestion)) {
    const auto asked = nlohmann::json::parse(*line, nullptr, false);
    auto answer = asked.is_object() ? errand(asked) : fail("not a JSON object");
    if (!write_line(connection.get(), answer ? *answer : nlohmann::json{{"error", answer.error().message}}))
      return;
  }
}

void serve_errands_at_hand(const Fd& connection, const Errand& errand) {
  const timeval wait{0, std::chrono::microseconds(kAtHand).count()};
  ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  ::setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  serve_errands(connection, errand);
}

Result<nlohmann::json> ask(const std::string& runtime_dir, const nlohmann::json& question) {
  const std::string path = errand_socket(runtime_dir);
  auto socket = connect_to({.path = path, .host = {}, .port = 0}, std::chrono::seconds(10), kAnswerPatience);
  if (!socket)
    return fail("{} (does wherryd run on this host, and are you root or one of its administrators?)",
                socket.error().message);
  const timeval wait{kAnswerPatience.count(), 0};
  ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (auto sent = write_line(socket->get(), question); !sent) return pass_on(sent);
  std::string unread;
  auto line = read_line(socket->get(), unread, kLongestAnswer);
  if (!line) return fail("wherryd at {} did not answer: {} (see its log)", path, line.error().message);
  auto answer = nlohmann::json::parse(*line, nullptr, false);
  if (!answer.is_object()) return fail("the answer of wherryd at {} is not JSON", path);
  if (auto error = answer.find("error"); error != answer.end() && error->is_string()) {
    return fail("{}", printable(error->get<std::string>()));
  }
  return answer;
}

}  // namespace wherry::daemon
