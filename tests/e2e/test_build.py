"""How it is built. Compiler warnings are errors in CI's presets, and not in a build without a preset, as users and
distributions make it with their own compilers and flags. Optimized builds are hardened."""
import json
import os
import platform
import shutil
import subprocess
import unittest
from pathlib import Path

from lab import scratch, wherry_binary
from lab.guest import TESTS

HARDENED = {'-fPIE', '-fstack-protector-strong', '-U_FORTIFY_SOURCE'}
# As dpkg-buildflags has them on Debian 12, preprocessor flags included, as debhelper gives them to CMake.
DEBIAN = ('-g -O2 -fstack-protector-strong -Wformat -Werror=format-security -Wdate-time -D_FORTIFY_SOURCE=2',
          '-Wl,-z,relro -Wl,-z,now')


class Build(unittest.TestCase):
    def commands(self, *configure):
        directory = Path(scratch()) / 'build'
        done = subprocess.run(['cmake', '-S', TESTS.parent, '-B', directory, *configure], capture_output=True, text=True,
                              cwd=TESTS.parent)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [each['command'].split() for each in json.loads((directory / 'compile_commands.json').read_text())]

    def test_a_warning_is_an_error_in_presets_alone(self):
        for configure, errors in ((['-DCMAKE_BUILD_TYPE=Release'], False), (['--preset', 'release'], True)):
            commands = self.commands(*configure)
            self.assertGreater(len(commands), 20)
            for command in commands:
                self.assertIn('-Wall', command)
                self.assertEqual('-Werror' in command, errors, command)

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
                               TESTS.parent / 'qemu-glue/daemon/wherryd.service'], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout.splitlines()[-1:])


if __name__ == '__main__':
    unittest.main()
