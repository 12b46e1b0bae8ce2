#include "qemu-glue/doctor/libvirt.h"

#include "tests/qemu-glue/doctor/support.h"
#include "transport/socket/listener.h"

namespace wherry::doctor {
namespace {

TEST(DoctorLibvirt, WhereItListensCounts) {
  const Scratch scratch;
  const std::string socket = scratch.path("libvirt-sock");
  const std::string modular = scratch.path("virtqemud-sock");
  expect(libvirt(socket, modular), Level::problem, "there is no " + socket, "systemctl start");

  const auto listen = [](const std::string& path) {
    return Listener::open({.path = path, .host = {}, .port = 0});
  };
  const auto virtqemud = listen(modular);
  expect(libvirt(socket, modular), Level::problem, modular + " answers",
         "libvirt = \"qemu+unix:///system?socket=" + modular);
  expect(libvirt(modular, modular), Level::ok, modular + " answers");

  scratch.write("libvirt-sock", "");
  expect(libvirt(socket, scratch.path("no")), Level::problem, "nobody answers at " + socket,
         "systemctl start");
  std::filesystem::remove(socket);
  const auto libvirtd = listen(socket);
  expect(libvirt(socket, modular), Level::ok, socket + " answers");
}

}  // namespace
}  // namespace wherry::doctor
