// What a fuzzer holds the code to: a broken promise ends the process, which the fuzzer reports with its
// input.
#pragma once

#include <cstdio>
#include <cstdlib>

#define PROMISE(held)                                                                 \
  do {                                                                                \
    if (!(held)) {                                                                    \
      std::fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #held); \
      std::abort();                                                                   \
    }                                                                                 \
  } while (false)
