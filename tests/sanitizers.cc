// What TSan should know of the libraries that the tests are linked with.

// libfabric is not built for TSan, which sees what the library's system calls read, but orders such a read
// only after the call that has sent the bytes. The history is long enough to tell whose reads they were.
extern "C" const char* __tsan_default_suppressions();   // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
  return "race:libfabric.so.1\n";
}
extern "C" const char* __tsan_default_options();   // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_options() {  // NOLINT(bugprone-reserved-identifier)
  return "history_size=7";
}
