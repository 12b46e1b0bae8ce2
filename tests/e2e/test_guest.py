"""Tests of the lab: the guest detects damage, compare_ram detects differences, no process outlives its test."""
import mmap
import os
import signal
import struct
import subprocess
import sys
import unittest

from lab import VERSIONS, Guest, compare_ram, spawn, wait_until

PAGE = 4096
LEAVER = '''
import os
from lab import Guest, Link
link = Link()
guest = Guest(ram='shm', netns=link.netns('a'))
print(guest.process.pid, guest.path(''), os.path.dirname(guest.ram_file), '/run/netns/' + link.netns('a'), flush=True)
input()
'''


class Memory:
    """The working set of a guest with ram='shm'. `order`: its byte order, '<' or '>'."""

    def __init__(self, guest, order='<'):
        self._order = order
        with open(guest.ram_file, 'r+b') as file:
            self._ram = mmap.mmap(file.fileno(), 0)
        self._base = next(at for at in range(0, len(self._ram), PAGE)
                          if struct.unpack_from(order + 'IIII', self._ram, at) == (0x59524857, self.version_at(at), 1, 1))

    def version_at(self, at):
        return struct.unpack_from(self._order + 'I', self._ram, at + 4)[0]

    def version(self, page):
        return self.version_at(self._base + page * PAGE)

    def __getitem__(self, page):
        return self._ram[self._base + page * PAGE:self._base + (page + 1) * PAGE]

    def __setitem__(self, page, content):
        self._ram[self._base + page * PAGE:self._base + (page + 1) * PAGE] = content


class GuestSeesDamage(unittest.TestCase):
    def check(self, version, order='<', **options):
        append = 'pages=1024 rate=3000 bytes=64 mix=random:100'
        with Guest(version, ram='shm', append=append, **options) as guest:
            guest.wait_ready()
            memory = Memory(guest, order)
            old = memory[11]
            wait_until(lambda: memory.version(11) > 2, 30, 'touch of the page')
            self.assertEqual(guest.bad(), [])
            guest.stop()
            memory[7] = memory[7][:3000] + b'!' + memory[7][3001:]
            memory[11] = old
            memory[13] = bytes(PAGE)
            memory[17], memory[19] = memory[19], memory[17]
            guest.cont()
            guest.wait_console(lambda _: len(guest.bad()) >= 5 and guest.last_tick()['bad'] >= 5, 30, 'BAD lines')
            found = {int(l.split()[1][5:]): l.split('found=')[1] for l in guest.bad()}
            stale = str(struct.unpack_from(order + 'I', old, 4)[0])
            self.assertEqual(found, {7: 'corrupt', 11: stale, 13: 'zero', 17: 'corrupt', 19: 'corrupt'})
            self.assertEqual(guest.last_tick()['bad'], 5)

    def test_bad_command_line(self):
        for append in ('speed=1', 'bytes=24', 'mix=text:50', 'pages=x', 'pages=100000', 'burst=500',
                       'grow=64:0', 'pages=63 grow=64:1'):
            with self.subTest(append), Guest(append=append) as guest, self.assertRaisesRegex(RuntimeError, 'wherry-guest'):
                guest.wait_ready()


class GuestTouches(unittest.TestCase):
    def test_in_bursts(self):
        with Guest(append='rate=2000 burst=500:2000 verify=1000') as guest:
            def paused(_):
                touched = [tick['touched'] for tick in guest.ticks()]
                more = [after - before for before, after in zip(touched, touched[1:])]
                return 0 in more and more[-1]
            guest.wait_console(paused, 30, 'burst after a pause')
            tick = guest.last_tick()
            self.assertLessEqual(tick['touched'], 1000 * (tick['tick'] / 2.5 + 1))
            self.assertLessEqual(tick['touched'], guest.touched())

    def test_in_more_and_more_pages(self):
        with Guest(ram='shm', append='pages=1024 rate=20000 mix=random:100 grow=64:4 verify=20000') as guest:
            guest.wait_console(lambda _: guest.ticks(), 30, 'tick')
            guest.stop()
            memory = Memory(guest)
            touched = [page for page in range(1024) if memory.version(page)]
            self.assertGreater(len(touched), 64)
            self.assertLess(touched[-1], 64 + 960 * (guest.last_tick()['tick'] + 2) / 4)
            guest.cont()
            wait_until(lambda: all(map(memory.version, range(1024))), 30, 'touch of every page')
            self.assertEqual(guest.bad(), [])


for version in VERSIONS:
    for machine in ('pc', 'q35'):
        setattr(GuestSeesDamage, f"test_{version.replace('.', '_')}_{machine}",
                lambda self, v=version, m=machine: self.check(v, machine=m))
for arch in ('s390x', 'ppc64'):
    setattr(GuestSeesDamage, f'test_{arch}', lambda self, a=arch: self.check('7.2', '>', arch=a))


class Lab(unittest.TestCase):
    def test_compare_ram(self):
        with Guest(ram='shm', autostart=False) as left, Guest(ram='shm', autostart=False) as right:
            self.assertEqual(compare_ram(left, right), [])
            for page in (5000, 5001, 9000):
                with open(right.ram_file, 'r+b') as file:
                    file.seek(page * PAGE + 77)
                    file.write(b'x')
            self.assertEqual(compare_ram(left, right), [5000, 5001, 9000])

    def test_nothing_outlives_a_killed_test(self):
        owner = spawn([sys.executable, '-c', LEAVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                      cwd=os.path.dirname(__file__))
        with owner:
            qemu, *left = owner.stdout.readline().split()
            self.assertTrue(all(map(os.path.exists, left)))
            owner.send_signal(signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f'/proc/{qemu}'), 10, 'end of QEMU')
        after = subprocess.run([sys.executable, '-c', "from lab import *; Link().close(); Guest(ram='shm').close()"],
                               cwd=os.path.dirname(__file__))
        self.assertEqual(after.returncode, 0)
        self.assertEqual(list(filter(os.path.exists, left)), [])


if __name__ == '__main__':
    unittest.main()
