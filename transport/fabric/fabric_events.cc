#include "transport/fabric/fabric_events.h"

#include <array>

#include "base/errno.h"

namespace wherry::fabric {
namespace {

// In bytes. An event may carry a little data from the peer.
constexpr size_t kEventBytes = sizeof(fi_eq_cm_entry) + 256;

Error event_error(fid_eq* events) {
  fi_eq_err_entry error{};
  if (fi_eq_readerr(events, &error, 0) < 0) return {"unknown"};
  if (error.err == FI_ECONNREFUSED) return {"the peer refused the connection"};
  return {reason(-error.err)};
}

}  // namespace

Result<Owned<fid_eq>> open_events(fid_fabric* fabric) {
  fi_eq_attr attributes{};
  attributes.wait_obj = FI_WAIT_FD;
  return make<fid_eq>("opening the event queue",
                      [&](fid_eq** object) { return fi_eq_open(fabric, &attributes, object, nullptr); });
}

Result<std::optional<CmEvent>> next_event(fid_eq* events, std::chrono::milliseconds longest) {
  CmEvent event;
  alignas(fi_eq_cm_entry) std::array<uint8_t, kEventBytes> bytes{};
  const ssize_t got = longest.count() == 0 ? fi_eq_read(events, &event.kind, bytes.data(), bytes.size(), 0)
                                           : fi_eq_sread(events, &event.kind, bytes.data(), bytes.size(),
                                                         static_cast<int>(longest.count()), 0);
  if (got == -FI_EAGAIN || got == -FI_ETIMEDOUT || got == -FI_EINTR) return std::nullopt;
  if (got == -FI_EAVAIL) return tl::make_unexpected(event_error(events));
  if (got < 0) return fail("{}", reason(got));
  const auto length = static_cast<size_t>(got);
  if (event.kind == FI_CONNREQ) event.caller.reset(reinterpret_cast<fi_eq_cm_entry*>(bytes.data())->info);
  if (length > sizeof(fi_eq_cm_entry))
    event.data.assign(bytes.begin() + sizeof(fi_eq_cm_entry), bytes.begin() + length);
  return event;
}

}  // namespace wherry::fabric
