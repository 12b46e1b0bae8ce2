// What TSan should know of the libraries that the tests are linked with.

// libfabric is not built for TSan: it sees what the library's system calls read, and orders a read only
// behind the call that has sent it. History enough to tell whose reads they were.
extern "C" const char* __tsan_default_suppressions();   // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
  return "race:libfabric.so.1\n";
}
extern "C" const char* __tsan_default_options();   // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_options() {  // NOLINT(bugprone-reserved-identifier)
  return "history_size=7";
}
