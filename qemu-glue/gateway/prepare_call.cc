#include "qemu-glue/gateway/prepare_call.h"

#include <array>
#include <utility>

#include "base/bytes.h"

namespace wherry::libvirt {
namespace {

enum Procedure : uint32_t { kPrepare = 61, kPrepare2 = 108, kPrepare3 = 214, kPrepare3Params = 303 };
constexpr uint32_t kMostParameters = 64;  // REMOTE_DOMAIN_MIGRATE_PARAM_LIST_MAX
// virTypedParameterType
enum ParameterType : uint32_t { kInt = 1, kUint, kLlong, kUllong, kDouble, kBoolean, kString };
constexpr std::string_view kUri = "migrate_uri";
constexpr std::string_view kName = "destination_name";
constexpr std::string_view kXml = "destination_xml";

// The name in a domain's XML. libvirt writes it as the first <name>, with these five escapes.
std::string name_in(std::string_view xml) {
  constexpr std::string_view kOpen = "<name>";
  constexpr std::array<std::pair<std::string_view, char>, 5> kEscapes{
      {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}}};
  const size_t open = xml.find(kOpen);
  if (open == std::string_view::npos) return {};
  xml.remove_prefix(open + kOpen.size());
  xml = xml.substr(0, xml.find('<'));
  std::string name;
  while (!xml.empty()) {
    std::pair<std::string_view, char> next{xml.substr(0, 1), xml[0]};
    for (const auto& escape : kEscapes) {
      if (xml.starts_with(escape.first)) next = escape;
    }
    name += next.second;
    xml.remove_prefix(next.first.size());
  }
  return name;
}

void skip_number(XdrReader& in, uint32_t type) {
  switch (type) {
    case kInt:
    case kUint:
    case kBoolean:
      in.u32();
      break;
    case kLlong:
    case kUllong:
    case kDouble:
      in.u64();
      break;
    default:
      in.give_up();
  }
}

}  // namespace

bool PrepareCall::is_one(const MessageHeader& header) {
  if (!header.is_remote() || header.type != MessageType::call) return false;
  switch (header.procedure) {
    case kPrepare:
    case kPrepare2:
    case kPrepare3:
    case kPrepare3Params:
      return true;
    default:
      return false;
  }
}

std::optional<PrepareCall> PrepareCall::read(const MessageHeader& header, std::span<const uint8_t> message) {
  PrepareCall call(message);
  XdrReader in(message, kHeadBytes);
  if (header.procedure == kPrepare3Params) {
    call.read_parameters(in);
  } else {
    call.read_arguments(in, header.procedure);
  }
  if (!in.complete()) return std::nullopt;
  return call;
}

void PrepareCall::read_arguments(XdrReader& in, uint32_t procedure) {
  if (procedure == kPrepare3) in.string();  // cookie
  uri_begin_ = in.position();
  request_.uri = in.optional_string();
  uri_end_ = in.position();
  request_.flags = in.u64();
  const auto name = in.optional_string();
  in.u64();  // bandwidth
  const std::string_view xml = procedure == kPrepare ? std::string_view() : in.string();
  request_.domain = name ? std::string(*name) : name_in(xml);
}

void PrepareCall::read_parameters(XdrReader& in) {
  std::optional<std::string_view> name;
  std::string_view xml;
  parameters_ = in.u32();
  if (*parameters_ > kMostParameters) in.give_up();
  for (uint32_t i = 0; i < *parameters_ && !in.broken(); ++i) {
    const std::string_view field = in.string();
    const uint32_t type = in.u32();
    if (type != kString) {
      if (field == kUri) in.give_up();
      skip_number(in, type);
      continue;
    }
    const size_t begin = in.position();
    const std::string_view value = in.string();
    if (field == kUri && !request_.uri) {
      request_.uri = value;
      uri_begin_ = begin;
      uri_end_ = in.position();
    } else if (field == kName) {
      name = value;
    } else if (field == kXml) {
      xml = value;
    }
  }
  if (!request_.uri) uri_begin_ = uri_end_ = in.position();
  in.string();  // cookie
  request_.flags = in.u32();
  request_.domain = name ? std::string(*name) : name_in(xml);
}

std::vector<uint8_t> PrepareCall::with_uri(std::string_view uri) const {
  std::vector<uint8_t> out;
  out.reserve(message_.size() + kUri.size() + uri.size() + 16);
  put_bytes(out, message_.first(uri_begin_));
  if (!parameters_) {
    put_optional_string(out, uri);
  } else {
    if (!request_.uri) {
      put_be32(&out[kHeadBytes], *parameters_ + 1);
      put_string(out, kUri);
      put_u32(out, kString);
    }
    put_string(out, uri);
  }
  put_bytes(out, message_.subspan(uri_end_));
  put_length(out);
  return out;
}

std::optional<std::vector<uint8_t>> reply_with_uri(std::span<const uint8_t> message, std::string_view uri) {
  XdrReader in(message, kHeadBytes);
  in.string();  // cookie
  const size_t begin = in.position();
  in.optional_string();
  if (!in.complete()) return std::nullopt;
  std::vector<uint8_t> out;
  put_bytes(out, message.first(begin));
  put_optional_string(out, uri);
  put_length(out);
  return out;
}

}  // namespace wherry::libvirt
