#include "qemu-glue/doctor/wherryd.h"

#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "qemu-glue/daemon/arrivals.h"
#include "qemu-glue/daemon/door.h"
#include "qemu-glue/daemon/errands.h"
#include "tests/qemu-glue/doctor/support.h"
#include "transport/socket/listener.h"

namespace wherry::doctor {
namespace {

using daemon::Config;

TEST(DoctorWherryd, Configuration) {
  const Scratch scratch;
  const std::string file = scratch.path("wherry.toml");
  const auto examined = [&](bool runs) { return configuration(file, Config::read(file), runs); };
  expect(examined(false), Level::problem, "there is no " + file, "wherry.toml(5)");
  expect(examined(true), Level::note, "wherryd runs without it", "--config");
  scratch.write("wherry.toml", "lisen = 1");
  expect(examined(true), Level::problem, "unknown key \"lisen\"", "wherryd --check --config " + file);
  scratch.write("wherry.toml", "[peers.hostb]\naddress = \"127.0.0.1\"");
  expect(examined(true), Level::ok, "names 1 peer");
}

TEST(DoctorWherryd, RuntimeDirectory) {
  const Scratch scratch;
  const std::string directory = scratch.path("run");
  expect(runtime_directory(directory, ""), Level::problem, "there is no " + directory, "start wherryd");
  scratch.write("run", "");
  expect(runtime_directory(directory, ""), Level::problem, "is not a directory", "rm " + directory);
  std::filesystem::remove(directory);
  std::filesystem::create_directory(directory);
  const auto set_mode = [&](unsigned mode) { ASSERT_EQ(::chmod(directory.c_str(), mode), 0); };
  set_mode(0711);
  expect(runtime_directory(directory, ""), Level::ok, "mode 0711");
  expect(runtime_directory(directory, "nosuchgroup"), Level::problem, "no group nosuchgroup",
         "administrators in wherry.toml");
  expect(runtime_directory(directory, "root"), Level::ok, "mode 0711");
  for (const unsigned mode : {0777, 0713, 0731}) {
    set_mode(mode);
    expect(runtime_directory(directory, ""), Level::problem, "other than root", "chmod go-w " + directory);
  }
  set_mode(0711);
  if (::geteuid() != 0) GTEST_SKIP() << "the rest needs root";
  ASSERT_EQ(::chown(directory.c_str(), 1, 0), 0);
  expect(runtime_directory(directory, ""), Level::problem, "root does not own it", "chown root " + directory);
}

TEST(DoctorWherryd, SocketPathsHaveRoomUpToTheLastByte) {
  // After the directory come a slash, the name of three bytes, a slash, sixteen digits, "/ram.sock".
  const std::string fits = "/" + std::string(107 - 30 - 1, 'd');
  expect(socket_paths(fits, {"h", "abc"}), Level::ok, "107 of 107");
  expect(socket_paths(fits + "d", {"abc", "h"}), Level::problem, "has 108 bytes", "runtime_dir");
  expect(socket_paths("/run/wherry", {std::string(64, 'h')}), Level::ok, "of 107");
}

TEST(DoctorWherryd, Running) {
  const Scratch scratch;
  expect(running(scratch.path()), Level::problem, "does not run: there is no", "start wherryd");
  scratch.write("wherryd.sock", "");
  expect(running(scratch.path()), Level::problem, "does not run: nobody answers", "start wherryd");
  std::filesystem::remove(scratch.path("wherryd.sock"));

  auto listener = Listener::open({.path = daemon::errand_socket(scratch.path()), .host = {}, .port = 0});
  ASSERT_TRUE(listener);
  std::atomic<bool> works = true;
  std::thread wherryd([&] {
    while (auto connection = listener->accept(std::chrono::seconds(1)))
      daemon::serve_errands(*connection, [&](const nlohmann::json&) -> Result<nlohmann::json> {
        if (!works) return fail("out of order");
        return nlohmann::json{{"routes", {1, 2}}, {"arrivals", {3}}};
      });
  });
  expect(running(scratch.path()), Level::ok, "2 routes and 1 arrivals");
  works = false;
  expect(running(scratch.path()), Level::problem, "out of order", "restart wherryd");
  listener->stop();
  wherryd.join();
}

TEST(DoctorWherryd, Secrecy) {
  Config config;
  config.listen.emplace().hosts = {kAnyPort};
  expect(secrecy(config), Level::ok, "nothing leaves");
  config.peers["hostb"].hosts = {{.path = {}, .host = "192.0.2.1", .port = 1}};
  expect(secrecy(config), Level::note, "in the clear", "a network of their own");
}

TEST(DoctorWherryd, Port) {
  Endpoint at;
  {
    auto listener = Listener::open(kAnyPort);
    ASSERT_TRUE(listener);
    at = listener->where();
  }
  expect(port(at, false), Level::ok, at.str() + " is free");
  expect(port(at, true), Level::problem, "nobody listens at " + at.str(), "restart wherryd");
  expect(port({.path = {}, .host = "192.0.2.1", .port = at.port}, false), Level::problem,
         "cannot listen on 192.0.2.1", "an address of this host");

  Config config;
  config.listen.emplace().hosts = {kAnyPort};
  daemon::Arrivals arrivals(config, "/nonexistent/wherry");
  auto door = daemon::Door::open(config, arrivals);
  ASSERT_TRUE(door);
  expect(port((*door)->listener().where(), true), Level::ok, "wherryd answers");

  auto other = Listener::open(kAnyPort);
  ASSERT_TRUE(other);
  std::thread closes([&] { (void)other->accept(std::chrono::seconds(1)); });
  expect(port(other->where(), false), Level::problem,
         "unit_tests (process " + std::to_string(::getpid()) + ")", "another port");
  closes.join();
}

}  // namespace
}  // namespace wherry::doctor
