// Errors are values: a function that can fail returns Result<T>, and the Error in it is a sentence that an
// operator can act on (which channel, peer or file; what to do). There are no error codes: nothing in Wherry
// branches on the kind of an error, it is carried up to `main` and printed.
#pragma once

#include <fmt/core.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace wherry {

struct Error {
  std::string message;
};

template <class T = void>
using Result = tl::expected<T, Error>;

// return fail("cannot open {}: {}", path, reason);
template <class... Args>
tl::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
  return tl::make_unexpected(Error{fmt::format(format, std::forward<Args>(args)...)});
}

// Passes the error of `result` on to a caller that returns another Result type.
template <class T>
tl::unexpected<Error> pass_on(Result<T>& result) {
  return tl::make_unexpected(std::move(result.error()));
}

}  // namespace wherry
