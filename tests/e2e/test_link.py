"""Tests of the lab's network: a shaped link has the right rate, over IPv4 and IPv6."""
import subprocess
import sys
import unittest

from lab import Link

SECONDS = 1.5
SINK = '''
import socket, sys, time
server = socket.create_server((sys.argv[1], 5001), family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
print('listening', flush=True)
peer = server.accept()[0]
buffer, total, start = bytearray(1 << 20), 0, time.monotonic()
while n := peer.recv_into(buffer):
    total += n
print(total / (time.monotonic() - start))
'''
SOURCE = '''
import socket, sys, time
peer, block, end = socket.create_connection((sys.argv[1], 5001)), bytes(1 << 18), time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    peer.sendall(block)
'''


def bytes_per_second(link, family=4):
    sink = link.run_in('b', [sys.executable, '-c', SINK, link.address('b', family)], stdout=subprocess.PIPE, text=True)
    with sink.stdout:
        sink.stdout.readline()
        link.run_in('a', [sys.executable, '-c', SOURCE, link.address('b', family), SECONDS]).wait()
        return float(sink.stdout.read())


class LinkRate(unittest.TestCase):
    def test_one_gigabit(self):
        with Link(rate='1gbit') as link:
            for family in (4, 6):
                with self.subTest(family=family):
                    rate = bytes_per_second(link, family) / 1e6
                    print(f'1gbit, IPv{family}: {rate:.1f} MB/s')
                    self.assertTrue(112 <= rate <= 119, f'{rate:.1f} MB/s')

    def test_cut_and_mend(self):
        with Link() as link:
            for family in (4, 6):
                link.cut()
                link.mend()
                self.assertGreater(bytes_per_second(link, family), 0)

    def test_unshaped(self):
        with Link() as link:
            rate = bytes_per_second(link) / 1e6
            print(f'unshaped: {rate:.0f} MB/s')
            self.assertGreater(rate, 200)


if __name__ == '__main__':
    unittest.main()
