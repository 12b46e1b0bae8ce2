"""The convergence controller with a real QEMU: a guest that rewrites its memory faster than the link is slowed until it
can move, and has its processors back afterwards; where it may not be, that is said, and the policy decides.
"""
import glob
import os
import subprocess
import unittest

from lab import PAGES, Pair, wait_until, wherry_binary
from lab.guest import TESTS

# 32 MB/s of what does not compress, over a link of 10 MB/s.
REWRITES = {'append': f'pages={PAGES} rate=8000 bytes=4096 mix=random:100 verify=2000'}
LINK = '80mbit'


def throttles(wherry):
    """Its own: other tests may run beside this one, and each Wherry that begins takes away what a dead one left."""
    return glob.glob(f'/sys/fs/cgroup/**/wherry-throttle-{wherry.process.pid}-*', recursive=True)


class Convergence(unittest.TestCase):
    def pair(self, version, keys):
        return Pair(version, rate=LINK, placement='direct', keys=f'streams=2&{keys}', source=REWRITES, sender_qmp=True)

    def test_a_guest_that_writes_too_fast_is_slowed_and_moves(self):
        for version in ('7.2', '10.0'):
            with self.subTest(version), self.pair(version, 'downtime=300ms') as pair:
                pair.migrate()
                report, _ = pair.complete()
                self.assertGreater(report['throttle']['peak_percent'], 0)
                self.assertGreater(report['throttle']['peak_percent'], report['throttle']['mean_percent'])
                self.assertGreater(report['downtime']['predicted']['total'], 0)
                self.assertEqual(report['target_ms'], 300)
                self.assertTrue(any(point.get('throttle') for point in report['timeline']))
                self.assertEqual(throttles(pair.sender), [])

    def test_a_target_out_of_reach_is_said_and_the_guest_stays(self):
        with self.pair('10.0', 'downtime=50ms&throttle-max=0&on-miss=abort') as pair:
            pair.migrate()
            self.assertEqual(pair.sender.wait(40), 1)
            self.assertRegex(pair.sender.report['error'],
                             'downtime of 50 ms is out of reach.* What would do: downtime=[0-9]+ms.*on-miss=abort')
            pair.check_source_goes_on()
            parameters = pair.src.execute('query-migrate-parameters')
            self.assertEqual((parameters['downtime-limit'], parameters['avail-switchover-bandwidth']), (100, 0))

    def test_or_the_guest_is_away_for_as_long_as_it_takes(self):
        with self.pair('10.0', 'downtime=50ms&throttle-max=0&on-miss=pause') as pair:
            pair.migrate()
            report, _ = pair.complete()
            self.assertIn('out of reach', report['messages'][0]['text'])

    def test_a_killed_wherry_leaves_no_throttle_for_good(self):
        with self.pair('10.0', 'downtime=50ms&throttle-max=50') as pair:
            pair.migrate()
            killed = pair.sender
            self.assertEqual(len(throttles(killed)), 1)
            killed.kill()
            pair.check_source_goes_on()
            pair.renew_destination()
            pair.receiver.close()
            pair.keys = 'streams=2&downtime=2s'
            pair.start_wherries()
            wait_until(lambda: throttles(pair.sender) and not throttles(killed), 10, 'end of the old throttle')
            pair.migrate()
            pair.complete()
            self.assertEqual(throttles(pair.sender), [])

    if os.environ.get('WHERRY_LONG_TESTS'):
        def test_control_groups_of_version_2(self):
            """In a VM, for this machine may have the others."""
            tests = f"mount -t cgroup2 none /sys/fs/cgroup && {wherry_binary('unit_tests')} --gtest_filter='VcpuQuota*'"
            done = subprocess.run([TESTS / 'verbs/vm', 'sh', '-c', tests], stdout=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn('[  PASSED  ] 3 tests', done.stdout)


if __name__ == '__main__':
    unittest.main()
