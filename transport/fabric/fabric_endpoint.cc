#include "transport/fabric/fabric_endpoint.h"

#include <algorithm>

namespace wherry {
namespace {

// The size of a completion queue.
constexpr size_t kCompletions = 1024;
// The longest write in bytes, whatever the provider allows.
constexpr size_t kLongestWrite = 8 << 20;

Result<fabric::Owned<fid_cq>> open_completions(const FabricDomain& domain) {
  fi_cq_attr attributes{};
  attributes.size = kCompletions;
  attributes.format = FI_CQ_FORMAT_DATA;
  attributes.wait_obj = FI_WAIT_FD;
  return fabric::make<fid_cq>("opening a completion queue", [&](fid_cq** object) {
    return fi_cq_open(domain.get(), &attributes, object, nullptr);
  });
}

int wait_fd(fid& queue) {
  int fd = -1;
  return fi_control(&queue, FI_GETWAIT, &fd) == 0 ? fd : -1;
}

}  // namespace

FabricEndpoint::FabricEndpoint(const fi_info& path)
    : data_takes_receive_((path.mode | path.rx_attr->mode) & FI_RX_CQ_DATA),
      longest_write_(std::min<size_t>(path.ep_attr->max_msg_size, kLongestWrite)),
      most_pieces_(std::max<size_t>(path.tx_attr->iov_limit, 1)) {}

Result<> FabricEndpoint::open(const FabricDomain& domain, fi_info& path, fabric::Owned<fid_eq> events) {
  fabric_ = domain.fabric();
  events_ = std::move(events);
  for (fabric::Owned<fid_cq>* queue : {&arrivals_, &done_}) {
    auto opened = open_completions(domain);
    if (!opened) return pass_on(opened);
    *queue = std::move(*opened);
  }
  auto endpoint = fabric::make<fid_ep>("opening the endpoint", [&](fid_ep** object) {
    return fi_endpoint(domain.get(), &path, object, nullptr);
  });
  if (!endpoint) return pass_on(endpoint);
  endpoint_ = std::move(*endpoint);
  int code = fi_ep_bind(endpoint_.get(), &events_->fid, 0);
  if (code == 0) code = fi_ep_bind(endpoint_.get(), &arrivals_->fid, FI_RECV);
  if (code == 0) code = fi_ep_bind(endpoint_.get(), &done_->fid, FI_TRANSMIT);
  if (code == 0) code = fi_enable(endpoint_.get());
  if (code != 0) return fail("preparing the endpoint: {}", fabric::reason(code));
  return {};
}

Result<> FabricEndpoint::connect(const fi_info& path, std::span<const uint8_t> hello, Deadline until) {
  const int code = fi_connect(endpoint_.get(), path.dest_addr, hello.data(), hello.size());
  if (code != 0) return fail("connecting: {}", fabric::reason(code));
  return wait_connected(until);
}

Result<> FabricEndpoint::accept(Deadline until) {
  const int code = fi_accept(endpoint_.get(), nullptr, 0);
  if (code != 0) return fail("accepting: {}", fabric::reason(code));
  return wait_connected(until);
}

Result<> FabricEndpoint::wait_connected(Deadline until) const {
  while (std::chrono::steady_clock::now() < until) {
    auto event = fabric::next_event(events_.get(), fabric::kEventLook);
    if (!event) return pass_on(event);
    if (!*event) continue;
    if ((*event)->kind == FI_CONNECTED) return {};
    return fail("the connection ended before it was made");
  }
  return fail("no answer to the connection request");
}

void FabricEndpoint::close() {
  fi_shutdown(endpoint_.get(), 0);
  endpoint_.reset();
}

ssize_t FabricEndpoint::post_receive(std::span<uint8_t> into, void* descriptor, fi_context2& context) const {
  return fi_recv(endpoint_.get(), into.data(), into.size(), descriptor, FI_ADDR_UNSPEC, &context);
}

ssize_t FabricEndpoint::post_send(std::span<const uint8_t> message, void* descriptor,
                                  fi_context2& context) const {
  return fi_send(endpoint_.get(), message.data(), message.size(), descriptor, FI_ADDR_UNSPEC, &context);
}

ssize_t FabricEndpoint::post_write(const Gather& from, Target to, std::optional<uint32_t> tag,
                                   fi_context2& context) const {
  fi_rma_iov target{to.address, from.bytes, to.key};
  fi_msg_rma message{};
  message.msg_iov = from.pieces.data();
  message.desc = const_cast<void**>(from.descriptors.data());  // libfabric only reads it
  message.iov_count = from.pieces.size();
  message.rma_iov = &target;
  message.rma_iov_count = 1;
  message.context = &context;
  message.data = tag.value_or(0);
  return fi_writemsg(endpoint_.get(), &message, FI_COMPLETION | (tag ? FI_REMOTE_CQ_DATA : 0));
}

bool FabricEndpoint::has_room(const Gather& write, size_t bytes) const {
  return write.pieces.size() < most_pieces_ && write.bytes + bytes <= longest_write_;
}

ssize_t FabricEndpoint::read(Queue queue, std::span<fi_cq_data_entry> completions) const {
  return fi_cq_read(get(queue), completions.data(), completions.size());
}

ssize_t FabricEndpoint::read_error(Queue queue) const {
  fi_cq_err_entry error{};
  fi_cq_readerr(get(queue), &error, 0);
  return -error.err;
}

Result<std::optional<fabric::CmEvent>> FabricEndpoint::next_event() const {
  return fabric::next_event(events_.get(), std::chrono::milliseconds(0));
}

bool FabricEndpoint::may_sleep(Queue queue) const {
  std::array<fid*, 2> queues{&get(queue)->fid, &events_->fid};
  return fi_trywait(fabric_, queues.data(), queues.size()) == 0;
}

void FabricEndpoint::sleep(Queue queue, const std::array<pollfd, 2>& others,
                           std::chrono::milliseconds longest) const {
  std::array<pollfd, 4> signs{others[0], others[1], pollfd{wait_fd(get(queue)->fid), POLLIN, 0},
                              pollfd{wait_fd(events_->fid), POLLIN, 0}};
  (void)::poll(signs.data(), signs.size(), static_cast<int>(longest.count()));
}

}  // namespace wherry
