// The far ends of tests whose sources are on another host, one after the other, until it is killed:
//
//   far_end        at port kFarEndPort of all addresses; a session is at the address by which it was asked
//   for
#include "tests/transport/far_end.h"

#include <cstdio>

#include "transport/socket/listener.h"
#include "transport/socket/socket.h"

namespace wherry::test {
namespace {

Result<> serve(const Fd& test) {
  auto setup = hear(test);
  if (!setup) return pass_on(setup);
  Destination destination(numeric_address(test.get(), End::here), setup->get<FarEndSetup>());
  for (;;) {
    auto order = hear(test);
    if (!order) return {};  // the test has ended
    auto answer = destination.obey(*order);
    const auto told =
        answer ? nlohmann::json{{"is", *answer}} : nlohmann::json{{"error", answer.error().message}};
    if (auto said = say(test, told); !said) return said;
  }
}

Result<> serve_all() {
  auto listener = Listener::open({.path = {}, .host = "::", .port = kFarEndPort});
  if (!listener) return pass_on(listener);
  for (;;) {
    auto test = listener->accept(kForever);
    if (!test) return pass_on(test);
    if (auto served = serve(*test); !served)
      std::fprintf(stderr, "far_end: %s\n", served.error().message.c_str());
  }
}

}  // namespace
}  // namespace wherry::test

int main() {
  std::fprintf(stderr, "far_end: %s\n", wherry::test::serve_all().error().message.c_str());
  return 1;
}
