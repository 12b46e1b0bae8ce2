"""The control: plain QEMU migration over TCP, without Wherry. If this fails, results with Wherry mean nothing."""
import unittest

from lab import VERSIONS, Guest, Link, compare_ram, native_migrate

PAGES = 16384


class Native(unittest.TestCase):
    def check(self, version, multifd, machine='pc', ram='memfd'):
        link = self.enterContext(Link())
        src = self.enterContext(Guest(version, netns=link.netns('a'), machine=machine, ram=ram))
        dst = self.enterContext(Guest(version, netns=link.netns('b'), machine=machine, ram=ram, incoming=True))
        src.wait_ready()
        result = native_migrate(src, dst, f"tcp:{link.address('b')}:4444", multifd=multifd)
        self.assertEqual(compare_ram(src, dst), [])
        dst.cont()
        dst.wait_verified(PAGES)
        self.assertEqual(src.bad() + dst.bad(), [])
        self.assertGreater(result['bytes'], PAGES * 4096)
        self.assertGreater(dst.last_tick()['touched'], src.last_tick()['touched'] if src.ticks() else 0)

    def test_downtime_between_events(self):
        src = self.enterContext(Guest('10.0'))
        dst = self.enterContext(Guest('10.0', incoming=True, autostart=True))
        src.wait_ready()
        result = native_migrate(src, dst, f"unix:{dst.path('in')}")
        dst.wait_verified(PAGES)
        self.assertEqual(dst.bad(), [])
        self.assertTrue(0 < result['downtime_ms'] < 1000, result)

    def test_q35_private_ram(self):
        self.check('7.2', 4, machine='q35', ram='private')


for version in VERSIONS:
    for multifd in (0, 4):
        name = f"test_{version.replace('.', '_')}_{f'multifd_{multifd}' if multifd else 'single'}"
        setattr(Native, name, lambda self, v=version, m=multifd: self.check(v, m))

if __name__ == '__main__':
    unittest.main()
