// Mutexes whose rules the compiler checks.
//
// A member that a mutex guards is WHERRY_GUARDED_BY it, and a function that is called with the mutex held
// WHERRY_REQUIRES it. Clang's -Wthread-safety, which is on in the presets that use clang, refuses any other
// access. libstdc++'s types lack these annotations, so no other file names them. With GCC the macros are
// empty.
//
//     Lock lock(mutex_);
//     while (!over_) changed_.wait(mutex_);
//
// Clang checks a lambda as a function of its own, which does not hold what its caller holds. So a wait takes
// no predicate: write the loop.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#ifdef __clang__
#define WHERRY_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define WHERRY_THREAD_SAFETY(attribute)
#endif

// Of a data member: it is used only with that mutex held.
#define WHERRY_GUARDED_BY(mutex) WHERRY_THREAD_SAFETY(guarded_by(mutex))
// Of a function: its caller holds them.
#define WHERRY_REQUIRES(...) WHERRY_THREAD_SAFETY(requires_capability(__VA_ARGS__))
// Of a function: it takes them, takes them if it returns true, or gives them back. Without names: `this`.
#define WHERRY_ACQUIRE(...) WHERRY_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define WHERRY_TRY_ACQUIRE(...) WHERRY_THREAD_SAFETY(try_acquire_capability(__VA_ARGS__))
#define WHERRY_RELEASE(...) WHERRY_THREAD_SAFETY(release_capability(__VA_ARGS__))

namespace wherry {

class WHERRY_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  void lock() WHERRY_ACQUIRE() { mutex_.lock(); }
  bool try_lock() WHERRY_TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  void unlock() WHERRY_RELEASE() { mutex_.unlock(); }

 private:
  friend class Lock;
  friend class Condition;
  std::mutex mutex_;
};

// Holds a mutex until the end of its scope. It can be given back and taken again before.
class WHERRY_THREAD_SAFETY(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex& mutex) WHERRY_ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  // Takes over a mutex that the caller holds, from try_lock().
  Lock(Mutex& mutex, std::adopt_lock_t held) WHERRY_REQUIRES(mutex) : lock_(mutex.mutex_, held) {}
  ~Lock() WHERRY_RELEASE() {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void lock() WHERRY_ACQUIRE() { lock_.lock(); }
  void unlock() WHERRY_RELEASE() { lock_.unlock(); }

 private:
  std::unique_lock<std::mutex> lock_;
};

// Something that threads wait for. A wait gives the mutex back meanwhile, and may return without a
// notification.
class Condition {
 public:
  void wait(Mutex& mutex) WHERRY_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False: it is past `until`.
  bool wait_until(Mutex& mutex, std::chrono::steady_clock::time_point until) WHERRY_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const bool in_time = condition_.wait_until(lock, until) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace wherry
