"""Guests of other processors than x86: s390x and ppc64 (pseries), whose QEMU has more in its stream than RAM.

Each is one migration of a guest that goes on writing. Afterwards both ends say that it is complete, the guest runs at the
destination alone, whether that was started with -S or not, and finds its memory right.
"""
import unittest

from lab import PAGES, Pair

# QEMU 7.2 loses dirty pages of these (lab.Guest), so there the guest is stopped first; and on ppc64 it does not wake a guest
# that slept when it was moved, so that one does not sleep.
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

if __name__ == '__main__':
    unittest.main()
