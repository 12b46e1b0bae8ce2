"""The Debian packages install and run on a clean Debian 12, and another program builds against libwherry-dev.

Packages the build directory of the program under test. They are installed into an overlay, which is discarded afterwards.
"""
import shutil
import subprocess
import unittest
from pathlib import Path

from lab import scratch, wherry_binary
from lab.guest import TESTS

TREE = Path('/var/cache/wherry-tests/bookworm')

PROGRAM = '''
#include <cstdio>
#include "transport/source/source_session.h"
int main() {
  wherry::SourceSession::Options options;
  options.peers.push_back({.path = "/nonexistent"});
  wherry::Failure failure;
  auto session = wherry::SourceSession::connect(options, {}, failure);
  if (!session) std::puts(session.error().message.c_str());
}
'''
PROJECT = '''
cmake_minimum_required(VERSION 3.25)
project(outside CXX)
find_package(wherry 0.1 REQUIRED)
add_executable(outside outside.cc)
target_link_libraries(outside wherry::transport)
'''


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(scratch())
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        for name in ('upper', 'work', 'root'):
            (cls.directory / name).mkdir()
        subprocess.run([TESTS / 'e2e/clean-debian', TREE], check=True)
        build = Path(wherry_binary()).parent
        packed = subprocess.run(['cpack', '-G', 'DEB', '-B', cls.directory / 'packed', '--config',
                                 build / 'CPackConfig.cmake'], capture_output=True, text=True)
        assert packed.returncode == 0, packed.stdout + packed.stderr
        debs = cls.directory / 'upper/debs'
        debs.mkdir()
        for deb in (cls.directory / 'packed').glob('*.deb'):
            shutil.copy(deb, debs)
        cls.install('/debs/wherry_*.deb /debs/wherryd_*.deb man-db')

    @classmethod
    def inside(cls, script, stdin=None):
        """Runs the script in the installed system; returns its output, or raises an error with it."""
        mounts = '''
            mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
            mount --bind "$1.archives" "$2/root/var/cache/apt/archives"
            mount -t proc proc "$2/root/proc"
            exec chroot "$2/root" sh -euc "$3"'''
        done = subprocess.run(['unshare', '--mount', '--pid', '--fork', 'sh', '-euc', mounts, 'sh', TREE, cls.directory,
                               script], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise AssertionError(f'{script}: status {done.returncode}\n{done.stdout}')
        return done.stdout

    @classmethod
    def install(cls, packages):
        cls.inside('flock /var/cache/apt/archives env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install '
                   f'--no-install-recommends -o Dpkg::Options::=--force-unsafe-io {packages}')

    def test_programs_run(self):
        version = self.inside('wherry --version').strip()
        self.assertRegex(version, r'^\d+\.\d+\.\d+$')
        self.assertEqual(self.inside('wherryd --version').strip(), version)
        for page, says in (('1 wherry', 'wherry send'), ('8 wherryd', '--check'), ('5 wherry.toml', 'route_timeout')):
            self.assertIn(says, self.inside(f'man {page}'))
        self.assertIn('--qemu', self.inside('''bash -c '. /usr/share/bash-completion/completions/wherry
            COMP_WORDS=(wherry send --); COMP_CWORD=2; _wherry wherry; echo "${COMPREPLY[@]}"' '''))

    def test_configuration(self):
        self.assertIn('nothing to do', self.inside('wherryd --check && exit 1 || [ $? = 2 ]'))
        self.inside(r'''sed -i 's/^#\(listen\|insecure\) =/\1 =/' /etc/wherry/wherry.toml; wherryd --check''')
        self.install('--reinstall /debs/wherryd_*.deb')
        self.inside('grep -q ^listen /etc/wherry/wherry.toml')

    def test_daemon_runs(self):
        self.assertIn('routes', self.inside('''
            wherryd --listen wherry://127.0.0.1:0 &
            until wherry status --json 2>/dev/null; do [ -d /proc/$! ]; done
            kill $!; wait $!'''))

    def test_another_program_builds(self):
        self.install('/debs/libwherry-dev_*.deb g++ cmake make pkg-config')
        self.inside('mkdir /outside; cat >/outside/outside.cc', stdin=PROGRAM)
        self.inside('cat >/outside/CMakeLists.txt', stdin=PROJECT)
        for build in ('cmake -S /outside -B /outside/build && cmake --build /outside/build && /outside/build/outside',
                      'cd /outside; g++ -std=c++20 outside.cc $(pkg-config --cflags --libs wherry) && ./a.out'):
            with self.subTest(build):
                self.assertIn('/nonexistent', self.inside(build))

    def test_removal_leaves_nothing(self):
        self.inside('''dpkg --purge wherryd >/dev/null 2>&1; [ ! -e /etc/wherry ]; [ ! -e /usr/bin/wherryd ]''')
        self.install('/debs/wherryd_*.deb')


if __name__ == '__main__':
    unittest.main()
