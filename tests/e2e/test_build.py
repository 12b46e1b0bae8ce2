"""How it is built. Compiler warnings are errors in CI's presets, and not in a build without a preset, as users and
distributions make it with their own compilers and flags. What a mutex guards is one of them with clang (base/mutex.h).
Optimized builds are hardened."""
import json
import os
import platform
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from lab import scratch, wherry_binary
from lab.guest import TESTS

TREE = TESTS.parent
FOLDERS = ('base', 'bench', 'compression', 'qemu-glue', 'tests', 'transport')
STANDARD_LOCK = re.compile(r'std::(\w*mutex|lock_guard|unique_lock|scoped_lock|shared_lock|condition_variable)\b')
ACCOUNT = """
#include "base/mutex.h"
struct Account {
  wherry::Mutex mutex;
  wherry::Condition paid_in;
  int balance WHERRY_GUARDED_BY(mutex) = 0;
};
"""
UNIT = TREE / 'qemu-glue/daemon/wherryd.service'
HARDENED = {'-fPIE', '-fstack-protector-strong', '-U_FORTIFY_SOURCE'}
# As dpkg-buildflags has them on Debian 12, preprocessor flags included, as debhelper gives them to CMake.
DEBIAN = ('-g -O2 -fstack-protector-strong -Wformat -Werror=format-security -Wdate-time -D_FORTIFY_SOURCE=2',
          '-Wl,-z,relro -Wl,-z,now')


def system_calls(name):
    """The system calls of a group of systemd's (@name), or the one that has that name."""
    if not name.startswith('@'):
        return {name}
    lines = subprocess.run(['systemd-analyze', 'syscall-filter', name], capture_output=True, text=True, check=True).stdout.splitlines()
    members = {line.partition('#')[0].strip() for line in lines[1:]} - {''}
    return {call for member in members for call in system_calls(member)}


class Build(unittest.TestCase):
    def commands(self, *configure):
        directory = Path(scratch()) / 'build'
        done = subprocess.run(['cmake', '-S', TREE, '-B', directory, *configure], capture_output=True, text=True, cwd=TREE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [each['command'].split() for each in json.loads((directory / 'compile_commands.json').read_text())]

    def test_a_warning_is_an_error_in_presets_alone(self):
        for configure, errors in ((['-DCMAKE_BUILD_TYPE=Release'], False), (['--preset', 'release'], True)):
            commands = self.commands(*configure)
            self.assertGreater(len(commands), 20)
            for command in commands:
                self.assertIn('-Wall', command)
                self.assertEqual('-Werror' in command, errors, command)

    def test_presets_with_clang_check_locks(self):
        for command in self.commands('--preset', 'tsan'):
            self.assertIn('-Wthread-safety', command)
            self.assertIn('-Werror', command)

    def test_optimized_builds_are_hardened(self):
        for configure, hardened in ((['-DCMAKE_BUILD_TYPE=Release'], True), (['--preset', 'release'], True),
                                    (['-DCMAKE_BUILD_TYPE=Debug'], False), (['-DWHERRY_SANITIZE=address'], False)):
            for command in self.commands(*configure):
                flags = set(command)
                self.assertEqual(HARDENED <= flags, hardened, command)
                self.assertEqual(any(flag.startswith('-D_FORTIFY_SOURCE=') for flag in flags), hardened, command)
                if platform.machine() == 'x86_64':
                    self.assertEqual('-fcf-protection' in flags, hardened, command)

    def test_a_distributions_flags_do_not_clash(self):
        compile_flags, link_flags = DEBIAN
        commands = self.commands('-DCMAKE_BUILD_TYPE=RelWithDebInfo', f'-DCMAKE_CXX_FLAGS={compile_flags}',
                                 f'-DCMAKE_EXE_LINKER_FLAGS={link_flags}')
        command = next(each for each in commands if each[-1].endswith('base/errno.cc'))
        command[command.index('-o') + 1] = os.devnull
        done = subprocess.run([*command, '-Werror', '-fsyntax-only'], capture_output=True, text=True, cwd=scratch())
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_programs_are_hardened(self):
        for name in ('wherry', 'wherryd'):
            program = wherry_binary(name)
            seen = subprocess.run(['readelf', '--wide', '--file-header', '--program-headers', '--dynamic', '--dyn-syms',
                                   program], capture_output=True, text=True, check=True).stdout
            if '__asan_init' in seen or '__tsan_init' in seen:
                self.skipTest('this is a build with a sanitizer')
            for part in (r'DYN \(Position-Independent Executable file\)', r'GNU_RELRO', r'\(FLAGS\) +BIND_NOW',
                         r'FLAGS_1\) .*NOW.* PIE', r'__stack_chk_fail', r'__\w+_chk@'):
                self.assertRegex(seen, part)

    @unittest.skipUnless(shutil.which('systemd-analyze'), 'no systemd here')
    def test_unit_is_confined(self):
        done = subprocess.run(['systemd-analyze', 'security', '--offline=yes', '--threshold=30', '--no-pager',
                               UNIT], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout.splitlines()[-1:])

    @unittest.skipUnless(shutil.which('systemd-analyze'), 'no systemd here')
    def test_unit_allows_what_reaches_the_memory_of_a_qemu(self):
        allowed = set()
        for line in UNIT.read_text().splitlines():
            if line.startswith('SystemCallFilter='):
                names = line.partition('=')[2]
                calls = {call for name in names.lstrip('~').split() for call in system_calls(name)}
                allowed = allowed - calls if names.startswith('~') else allowed | calls
        self.assertEqual({'pidfd_open', 'pidfd_getfd', 'process_vm_readv', 'process_vm_writev'} - allowed, set())


class Locks(unittest.TestCase):
    def compile(self, body):
        """What clang says of a function with the parameter `Account& account`."""
        source = f'{ACCOUNT}int take(Account& account) {{ {body} }}\n'
        done = subprocess.run(['clang++', '-std=c++20', '-fsyntax-only', '-Wthread-safety', '-Werror', '-I', TREE, '-x', 'c++', '-'],
                              input=source, capture_output=True, text=True)
        self.assertEqual(done.returncode, bool(done.stderr), done.stderr)
        return done.stderr

    def test_access_with_the_lock_held(self):
        self.assertEqual(self.compile('wherry::Lock lock(account.mutex);'
                                      'while (account.balance == 0) account.paid_in.wait(account.mutex);'
                                      'return --account.balance;'), '')

    def test_access_without_the_lock(self):
        self.assertIn("'balance' requires holding mutex 'account.mutex'", self.compile('return --account.balance;'))

    def test_access_after_the_lock_was_given_back(self):
        self.assertIn("'balance' requires holding mutex 'account.mutex'",
                      self.compile('wherry::Lock lock(account.mutex); lock.unlock(); return --account.balance;'))

    def test_waiting_without_the_lock(self):
        self.assertIn("'wait' requires holding mutex 'account.mutex'",
                      self.compile('account.paid_in.wait(account.mutex); return 0;'))

    def test_no_other_file_names_the_standard_ones(self):
        files = [path for folder in FOLDERS for path in (TREE / folder).rglob('*') if path.suffix in ('.h', '.cc')]
        self.assertEqual([path for path in files if STANDARD_LOCK.search(path.read_text())], [TREE / 'base/mutex.h'])


if __name__ == '__main__':
    unittest.main()
