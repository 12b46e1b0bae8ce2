#include "qemu-glue/gateway/prepare_call.h"

#include "tests/qemu-glue/gateway/support.h"

namespace wherry::libvirt {
namespace {

using namespace test;

constexpr std::string_view kXml = "<domain type='kvm'>\n  <name>web&amp;1</name>\n</domain>";
using Uri = std::optional<std::string_view>;

std::optional<PrepareCall> read(const Bytes& message) {
  const auto header = read_header(message);
  EXPECT_TRUE(header && PrepareCall::is_one(*header));
  return PrepareCall::read(*header, message);
}

Bytes prepare(Uri uri) {
  return call(61, Xdr().optional(uri).u64(0x100000003).optional("web2").u64(100));
}
Bytes prepare2(Uri uri) {
  return call(108, Xdr().optional(uri).u64(3).optional({}).u64(0).string(kXml));
}
Bytes prepare3(Uri uri) {
  return call(214, Xdr().string("cookie").optional(uri).u64(3).optional("web2").u64(0).string(kXml));
}
// A parameter of every type, around the URI.
Bytes prepare3_params(Uri uri) {
  Xdr out;
  out.u32(uri ? 9 : 8).string("bandwidth").u32(4).u64(100);
  if (uri) out.parameter("migrate_uri", *uri);
  out.string("i").u32(1).u32(1).string("u").u32(2).u32(1).string("l").u32(3).u64(1).string("d").u32(5).u64(1);
  out.string("b").u32(6).u32(1).parameter("destination_xml", kXml).parameter("disks_uri", "unix:///d");
  return call(303, out.string("cookie").u32(0x8001));
}

TEST(PrepareCall, KnowsItsProcedures) {
  for (uint32_t procedure : {61, 108, 214, 303}) {
    EXPECT_TRUE(PrepareCall::is_one(header(procedure, MessageType::call)));
    EXPECT_FALSE(PrepareCall::is_one(header(procedure, MessageType::reply)));
    EXPECT_FALSE(PrepareCall::is_one(header(procedure, MessageType::call_with_fds)));
    auto other = header(procedure, MessageType::call);
    other.program = 0x20008087;
    EXPECT_FALSE(PrepareCall::is_one(other));
  }
  // PREPARE_TUNNEL, PREPARE_TUNNEL3, PREPARE_TUNNEL3_PARAMS, PERFORM3_PARAMS, and an unknown one.
  for (uint32_t procedure : {148, 215, 304, 305, 9999}) {
    EXPECT_FALSE(PrepareCall::is_one(header(procedure, MessageType::call)));
  }
}

TEST(PrepareCall, ReadsWhatIsAsked) {
  const Bytes first_message = prepare(kGiven);
  const auto first = read(first_message);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->request().uri, kGiven);
  EXPECT_EQ(first->request().domain, "web2");
  EXPECT_EQ(first->request().flags, 0x100000003u);
  const Bytes second_message = prepare2(kGiven);
  const auto second = read(second_message);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->request().domain, "web&1");
  EXPECT_EQ(second->request().flags, 3u);
  const Bytes third_message = prepare3(kGiven);
  const auto third = read(third_message);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->request().uri, kGiven);
  EXPECT_EQ(third->request().domain, "web2");
  const Bytes last_message = prepare3_params(kGiven);
  const auto last = read(last_message);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->request().uri, kGiven);
  EXPECT_EQ(last->request().domain, "web&1");
  EXPECT_EQ(last->request().flags, 0x8001u);
}

TEST(PrepareCall, TellsNoUriFromAnEmptyOne) {
  for (const auto& make : {prepare, prepare2, prepare3, prepare3_params}) {
    EXPECT_EQ(read(make({}))->request().uri, std::nullopt);
    EXPECT_EQ(read(make(""))->request().uri, "");
  }
}

TEST(PrepareCall, PutsAUriInPlace) {
  const std::string very_long = "wherry://" + std::string(1000, 'x');
  for (const auto& make : {prepare, prepare2, prepare3, prepare3_params}) {
    for (Uri before : {Uri(kGiven), Uri(""), Uri("tcp://D"), Uri(very_long)}) {
      EXPECT_EQ(read(make(before))->with_uri(kPath), make(kPath));
    }
  }
  for (const auto& make : {prepare, prepare2, prepare3}) {
    EXPECT_EQ(read(make({}))->with_uri(kPath), make(kPath));
  }
}

TEST(PrepareCall, AddsTheParameterBehindTheOthers) {
  const auto with = [](uint32_t count, bool added) {
    Xdr out;
    out.u32(count).parameter("destination_name", "web2");
    if (added) out.parameter("migrate_uri", kPath);
    return call(303, out.string("cookie").u32(1));
  };
  EXPECT_EQ(read(with(1, false))->with_uri(kPath), with(2, true));
  EXPECT_EQ(read(prepare3_params({}))->with_uri(kPath).size(),
            prepare3_params({}).size() + Bytes(Xdr().parameter("migrate_uri", kPath)).size());
}

TEST(PrepareCall, PrefersTheNewNameOfTheDomain) {
  EXPECT_EQ(read(call(303, Xdr()
                               .u32(2)
                               .parameter("destination_name", "web2")
                               .parameter("destination_xml", kXml)
                               .string("")
                               .u32(0)))
                ->request()
                .domain,
            "web2");
}

TEST(PrepareCall, FindsTheNameInXmlOrNone) {
  for (const auto& [xml, name] : std::vector<std::pair<std::string, std::string>>{
           {"<domain><name>a&lt;b&gt;&quot;c&apos;&amp;lt;&unknown;</name><name>x</name>",
            "a<b>\"c'&lt;&unknown;"},
           {"<domain><name></name>", ""},
           {"<domain><name>cut", "cut"},
           {"<domain/>", ""},
           {"", ""}}) {
    EXPECT_EQ(
        read(call(303, Xdr().u32(1).parameter("destination_xml", xml).string("").u32(0)))->request().domain,
        name);
  }
}

// Each message cut anywhere, or with surplus bytes after it.
TEST(PrepareCall, RefusesAnotherLength) {
  for (const auto& make : {prepare, prepare2, prepare3, prepare3_params}) {
    const Bytes whole = make(kGiven);
    for (size_t length = kHeadBytes; length < whole.size(); ++length) {
      EXPECT_FALSE(read(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)))) << length;
    }
    EXPECT_FALSE(read(joined({whole, Bytes(4)})));
  }
}

TEST(PrepareCall, RefusesParametersThatLie) {
  const auto params = [](const Xdr& parameters) {
    return read(call(303, Xdr(parameters).string("").u32(0)));
  };
  EXPECT_TRUE(params(Xdr().u32(0)));
  EXPECT_FALSE(params(Xdr().u32(65)));
  EXPECT_FALSE(params(Xdr().u32(UINT32_MAX)));
  EXPECT_FALSE(params(Xdr().u32(1).string("a").u32(0).u32(0)));                        // invalid type
  EXPECT_FALSE(params(Xdr().u32(1).string("a").u32(8).u32(0)));                        // invalid type
  EXPECT_FALSE(params(Xdr().u32(1).string("migrate_uri").u32(1).u32(5)));              // a number as the URI
  EXPECT_FALSE(params(Xdr().u32(1).string("a").u32(7).u32(0xfffffff0)));               // string too long
  EXPECT_FALSE(params(Xdr().u32(1).u32(0x7fffffff)));                                  // name too long
  EXPECT_FALSE(params(Xdr().u32(1).string("a").u32(7).u32(1).u32('b' << 24 | 0xff)));  // padding not zero
  const auto numbers = [](uint32_t count) {
    Xdr out;
    out.u32(count);
    for (uint32_t i = 0; i < count; ++i) out.string("a").u32(1).u32(1);
    return out;
  };
  EXPECT_TRUE(params(numbers(64)));
  EXPECT_FALSE(params(numbers(65)));
}

// libvirt rejects a second URI; the client must see libvirt's own error.
TEST(PrepareCall, LeavesASecondUriToLibvirt) {
  const auto twice = [](std::string_view first) {
    return call(
        303,
        Xdr().u32(2).parameter("migrate_uri", first).parameter("migrate_uri", "tcp://E").string("").u32(0));
  };
  EXPECT_EQ(read(twice(kGiven))->request().uri, kGiven);
  EXPECT_EQ(read(twice(kGiven))->with_uri(kPath), twice(kPath));
}

TEST(PrepareReply, HasTheUri) {
  for (Uri before : {Uri(), Uri(""), Uri("tcp://D:49152")}) {
    EXPECT_EQ(reply_with_uri(reply(303, Xdr().string("cookie").optional(before)), kPath),
              reply(303, Xdr().string("cookie").optional(kPath)));
  }
}

TEST(PrepareReply, RefusesAnotherLength) {
  const Bytes whole = reply(303, Xdr().string("cookie").optional("tcp://D:49152"));
  for (size_t length = kHeadBytes; length < whole.size(); ++length) {
    EXPECT_FALSE(reply_with_uri(std::span(whole).first(length), kPath)) << length;
  }
  EXPECT_FALSE(reply_with_uri(joined({whole, Bytes(4)}), kPath));
  EXPECT_FALSE(reply_with_uri(reply(303, Xdr().string("").u32(2)), kPath));
}

}  // namespace
}  // namespace wherry::libvirt
