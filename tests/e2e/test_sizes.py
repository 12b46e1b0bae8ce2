"""scripts/sizes reports a file, a class and a function that is too large, and takes nothing else for one."""
import subprocess
import unittest
from pathlib import Path

from lab import scratch
from lab.guest import TESTS

SIZES = TESTS.parent / 'scripts/sizes'
# Fifteen data members, and much between them that is none.
FIFTEEN = """
class Forward;
template <class T>
class Large final : public Base<T>, private Other {
 public:
  using Map = std::map<int, std::string>;
  enum class Kind { one, two } kind_ = Kind::one;  // 1; int no = 1;
  explicit Large(int a, int b = {}) : a_(a), b_{b}, text_{"};"}, more_(b) { int local = 1; use(local); }
  Large(const Large&) = delete;
  Large& operator=(Large&& other) noexcept { a_ = other.a_; return *this; }
  bool operator<(const Large& other) const { return a_ < other.a_; }
  ~Large() override;
  Result<> open(const std::string& path = "a;b") const;
  auto size() const -> std::optional<size_t> { return a_; }
  template <class Body> static void start(Body&& body) { int local = 0; body(local); }

 private:
  struct Inner {
    int one = 0;
    int two = 0;
  };
  friend class Friend;
  static constexpr int kMost = 3;
  static int count_;
  static_assert(sizeof(Inner) == 8);
  /* int comment_; */
  int a_ = 0, b_ = 1;                                        // 3
  std::string text_{"int in_text_;"};                        // 4
  const std::map<int, std::vector<int>> more_ = {{1, {2}}};  // 5
  std::function<void(int)> call_ = [this](int) {             // 6
    int local = 2;
    return local;
  };
  mutable Mutex mutex_;                                    // 7
  State state_ GUARDED_BY(mutex_) = State::one;            // 8
  alignas(64) char bytes_[SPACE(sizeof(int))] = {};        // 9
  uint64_t flag_ : 1;                                      // 10
  const char* const name_ = "a";                           // 11
  std::unique_ptr<Inner[]> inners_;                        // 12
  Other& other_;                                           // 13
  char quote_ = '"';                                       // 14
  long number_ = 1'000'000;                                // 15
};
"""


class Sizes(unittest.TestCase):
    def check(self, name, text):
        tree = Path(scratch()) / 'tree'
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        done = subprocess.run([SIZES, tree], capture_output=True, text=True)
        self.assertEqual(done.stderr, '')
        return done.returncode, done.stdout

    def assertFault(self, fault, name, text):
        self.assertEqual(self.check(name, text), (1, f'{name}{fault}\n'))

    def assertNone(self, name, text):
        status, said = self.check(name, text)
        self.assertEqual((status, said.count('\n')), (0, 1), said)

    def test_data_members_of_a_class(self):
        self.assertNone('base/large.h', FIFTEEN)
        for more in ('int p_;', 'Kind p_{};', 'int p_[2];', 'int* p_ = nullptr;', 'struct { int x; } p_;',
                     'std::pair<int, int> p_;', 'bool p_ GUARDED_BY(mutex_);', 'std::function<void()> p_;'):
            with self.subTest(more):
                self.assertFault(': Large has 16 data members (at most 15)', 'base/large.h',
                                 FIFTEEN.replace('  friend class', f'  {more}\n  friend class'))

    def test_an_inner_class_and_one_of_a_test(self):
        inner = FIFTEEN.replace('int two = 0;', 'int ' + ', '.join(f'm{number}' for number in range(15)) + ';')
        self.assertFault(': Inner has 16 data members (at most 15)', 'tests/base/large_test.cc', inner)

    def test_lines_of_a_file(self):
        for name in ('transport/long.cc', 'tests/e2e/test_long.py', 'bench/long.h'):
            with self.subTest(name):
                self.assertNone(name, '\n' * 600)
                self.assertFault(' has 601 lines (at most 600)', name, '\n' * 601)

    def test_lines_of_a_script(self):
        for first in ('#!/usr/bin/env bash', '#!/bin/sh', '#!/usr/bin/env python3'):
            with self.subTest(first):
                self.assertNone('tests/e2e/long', first + '\n' * 600)
                self.assertFault(' has 601 lines (at most 600)', 'tests/e2e/long', first + '\n' * 601)
        self.assertNone('tests/data/long', '\n' * 601)

    def test_lines_of_a_function_of_python(self):
        for name, first in (('scripts/long', '#!/usr/bin/env python3\n'), ('tests/e2e/lab/long.py', '')):
            with self.subTest(name):
                function = first + 'class Some:\n    def long(self):\n' + '        pass\n' * 79
                self.assertNone(name, function)
                self.assertFault(': long() has 81 lines (at most 80)', name, function + '        pass\n')


if __name__ == '__main__':
    unittest.main()
