// EXPECT_ERROR(result, "peer-x", "Broken pipe"): the result is an error, and each part is in its message. The
// parts are facts that an operator needs (which channel, peer, file or limit; what to do), not the sentence
// around them. In place of a result: an Error, the first Error of a Failure, or the text of an error that a
// peer has sent.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry::test {

template <class T>
std::optional<std::string> message_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().message);
}
inline std::optional<std::string> message_of(const Error& error) {
  return error.message;
}
inline std::optional<std::string> message_of(const std::optional<Error>& error) {
  return error ? std::optional(error->message) : std::nullopt;
}
inline std::optional<std::string> message_of(const std::string& text) {
  return text;
}

template <class Failed, class... Parts>
testing::AssertionResult fails_with(const Failed& failed, const Parts&... parts) {
  const std::optional<std::string> message = message_of(failed);
  if (!message) return testing::AssertionFailure() << "there is no error";
  for (const std::string_view part : {std::string_view(parts)...})
    if (part.empty() || message->find(part) == std::string::npos)
      return testing::AssertionFailure() << '"' << part << "\" is not in the error: " << *message;
  return testing::AssertionSuccess();
}

#define EXPECT_ERROR(result, ...) EXPECT_TRUE(::wherry::test::fails_with(result, __VA_ARGS__))

}  // namespace wherry::test
