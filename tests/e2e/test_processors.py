"""Guests with processors other than x86: s390x and ppc64 (pseries), whose stream has other live sections than RAM, and alpha,
whose stream does not state its page size of 8 KiB.

Each test is one migration of a guest that keeps writing, except on alpha. Afterwards both ends report completion, the guest
runs only at the destination, whether that was started with -S or not, and its memory is right.
"""
import contextlib
import os
import secrets
import unittest

from lab import PAGES, Guest, Link, Pair, Wherry, compare_ram, scratch

# QEMU 7.2 loses dirty pages of these guests (lab.Guest), so they are stopped before the migration. On ppc64 it does not wake a
# guest that slept when it was migrated, so that guest does not sleep.
NEVER_SLEEPS = {'append': f'pages={PAGES} mix=text:60,random:40'}


class Processors(unittest.TestCase):
    def check_completed(self, pair):
        for report in pair.complete():
            self.assertEqual(report['status'], 'completed')

    def check(self, arch, multifd, placement, autostart):
        with Pair(arch=arch, multifd=multifd, placement=placement, rate='160mbit',
                  destination={'autostart': autostart}) as pair:
            pair.migrate_and_hold(passes=2)
            pair.link.set_rate('a', '10gbit')
            self.check_completed(pair)

    def check_stopped(self, arch, multifd):
        with Pair('7.2', arch=arch, multifd=multifd, placement='auto', source=NEVER_SLEEPS) as pair:
            pair.src.stop()
            pair.migrate()
            self.check_completed(pair)


for arch in ('s390x', 'ppc64'):
    for multifd in (0, 2):
        channels = f'multifd_{multifd}' if multifd else 'single'
        setattr(Processors, f'test_{arch}_{channels}_stopped_7_2',
                lambda self, a=arch, m=multifd: self.check_stopped(a, m))
        for placement in ('relay', 'auto'):
            for autostart in (False, True):
                setattr(Processors, f"test_{arch}_{channels}_{placement}_{'runs' if autostart else 'waits'}",
                        lambda self, a=arch, m=multifd, p=placement, s=autostart: self.check(a, m, p, s))


class LargePages(unittest.TestCase):
    """A stopped guest whose memory has half zero pages, zero pages and others."""
    PAGE = 8192

    @staticmethod
    def guest(**options):
        return Guest('10.0', arch='alpha', kernel='', autostart=False, ram_kib=32 << 10, **options)

    def check(self, multifd, asks):
        image = os.path.join(scratch(), 'image')
        half = bytes(self.PAGE // 2)
        with open(image, 'wb') as file:
            for _ in range(200):
                file.write(half + secrets.token_bytes(len(half)) + half * 2 + secrets.token_bytes(self.PAGE))
        with contextlib.ExitStack() as stack:
            link = stack.enter_context(Link())
            loads = ('-device', f'loader,file={image},addr=0x800000,force-raw=on')
            src = stack.enter_context(self.guest(netns=link.netns('a'), extra=loads))
            dst = stack.enter_context(self.guest(netns=link.netns('b'), incoming=True))
            for guest in (src, dst):
                guest.configure_migration(multifd)
            dst.execute('migrate-incoming', uri=f"unix:{dst.path('in')}")
            address = f"wherry://{link.address('b')}"
            receiver = stack.enter_context(Wherry.receive(address, dst.path('in'), qmp=dst.qmp_path, netns=link.netns('b')))
            receiver.wait_listening()
            sender = stack.enter_context(Wherry.send(src.path('out'), address, qmp=src.qmp_path if asks else None,
                                                     netns=link.netns('a')))
            sender.wait_for_socket()
            src.execute('migrate', uri=f"unix:{src.path('out')}")
            src.wait_migrated(timeout=60)
            self.assertEqual((sender.wait(10), receiver.wait(10)), (0, 0), sender.stderr)
            self.assertEqual(compare_ram(src, dst), [])
            return sender.report

    def test_where_qemu_says_how_large_they_are(self):
        for multifd in (0, 2):
            with self.subTest(multifd=multifd):
                report = self.check(multifd, asks=True)
                self.assertEqual((report['placement'], report['opaque']), ('direct-mapped', {}))
                self.assertGreaterEqual(report['guest_bytes'], 600 * self.PAGE)

    def test_where_nobody_says_it(self):
        for multifd in (0, 2):
            with self.subTest(multifd=multifd):
                report = self.check(multifd, asks=False)
                self.assertEqual(report['placement'], 'relay')
                self.assertRegex(report['placement_reason'], "how large the guest's pages are.*--qmp")


if __name__ == '__main__':
    unittest.main()
