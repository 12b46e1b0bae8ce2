// A TCP socket that listens on loopback and behaves like a host whose link has a smaller MTU than its peers
// have: packets of more than `passes` bytes never reach its connections.
#pragma once

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "transport/socket/endpoint.h"

namespace wherry::test {

struct NarrowSocket {
  Fd fd;
  Endpoint where;
};

inline NarrowSocket narrow_socket(uint32_t passes) {
  NarrowSocket made{Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                    {.path = {}, .host = "127.0.0.1", .port = 0}};
  const int segment = 1460;  // one loopback packet of the usual size would hold a whole first frame
  EXPECT_EQ(::setsockopt(made.fd.get(), IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment), 0);
  sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
                           BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, passes, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
                           BPF_STMT(BPF_RET | BPF_K, ~0u)};
  const sock_fprog filter{std::size(program), program};
  EXPECT_EQ(::setsockopt(made.fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter), 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  EXPECT_EQ(::bind(made.fd.get(), reinterpret_cast<sockaddr*>(&at), length), 0);
  EXPECT_EQ(::listen(made.fd.get(), 4), 0);
  EXPECT_EQ(::getsockname(made.fd.get(), reinterpret_cast<sockaddr*>(&at), &length), 0);
  made.where.port = ntohs(at.sin_port);
  return made;
}

}  // namespace wherry::test
