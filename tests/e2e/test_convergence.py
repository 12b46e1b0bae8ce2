"""The convergence controller with a real QEMU. A guest that dirties memory faster than the link carries it is throttled
until it can migrate, and the throttle is removed afterwards. If it must not be throttled enough, a message says so and
`on-miss` decides.
"""
import glob
import os
import subprocess
import unittest

from lab import PAGES, Guest, Link, Pair, Wherry, says, wait_until, wherry_binary
from lab.guest import TESTS

# 32 MB/s of incompressible pages, over a link of 10 MB/s.
REWRITES = {'append': f'pages={PAGES} rate=8000 bytes=4096 mix=random:100 verify=2000'}
LINK = '80mbit'


def throttles(wherry):
    """The groups of this Wherry alone: other tests run in parallel, and each new Wherry removes those of dead ones."""
    return glob.glob(f'/sys/fs/cgroup/**/wherry-throttle-{wherry.process.pid}-*', recursive=True)


def auto_converge(guest):
    """The settings of QEMU's throttle."""
    parameters = guest.execute('query-migrate-parameters')
    return [each for each in guest.execute('query-migrate-capabilities') if each['capability'] == 'auto-converge'] + [
        parameters[name] for name in ('cpu-throttle-initial', 'cpu-throttle-increment', 'cpu-throttle-tailslow',
                                      'max-cpu-throttle', 'throttle-trigger-threshold')]


def downtime_limit(guest):
    return guest.execute('query-migrate-parameters')['downtime-limit']


class Convergence(unittest.TestCase):
    def pair(self, version, keys, **more):
        return Pair(version, rate=LINK, placement='direct', keys=f'streams=2&{keys}', source=REWRITES, sender_qmp=True,
                    **more)

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
            says(self, pair.sender.report['error'], '50 ms is out of reach', 'on-miss=abort')
            self.assertRegex(pair.sender.report['error'], 'downtime=[0-9]+ms')
            pair.check_source_goes_on()
            parameters = pair.src.execute('query-migrate-parameters')
            self.assertEqual((parameters['downtime-limit'], parameters['avail-switchover-bandwidth']), (100, 0))

    def test_or_the_guest_is_away_for_as_long_as_it_takes(self):
        with self.pair('10.0', 'downtime=50ms&throttle-max=0&on-miss=pause') as pair:
            pair.migrate()
            report, _ = pair.complete()
            says(self, report['messages'][0]['text'], 'out of reach')

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

    def test_where_there_are_no_control_groups_qemu_slows_it(self):
        """With a target that needs no extreme throttle: under TCG, a pass waits until a throttled vCPU wakes."""
        for version in ('7.2', '10.0'):
            with self.subTest(version), self.pair(version, 'downtime=600ms', cgroups=False, wherries=False) as pair:
                before = auto_converge(pair.src)
                pair.start_wherries()
                pair.migrate()
                report, _ = pair.complete()
                self.assertEqual(report['throttle']['by'], 'auto-converge')
                says(self, report['throttle']['reason'], 'dirty-limit: ', 'dirty-ring-size', 'vcpu-quota: ', 'control group')
                self.assertGreater(report['throttle']['peak_percent'], 1)
                self.assertEqual(auto_converge(pair.src), before)

    def test_what_a_killed_wherry_set_in_qemu_goes_with_the_next(self):
        with self.pair('10.0', 'downtime=50ms', cgroups=False, wherries=False) as pair:
            before, limit = auto_converge(pair.src), downtime_limit(pair.src)
            pair.start_wherries()
            pair.migrate()
            pair.hold(2)
            pair.sender.kill()
            pair.check_source_goes_on()
            self.assertNotEqual(auto_converge(pair.src), before)
            self.assertNotEqual(downtime_limit(pair.src), limit)
            pair.receiver.close()
            pair.renew_destination()
            pair.keys = 'throttle-max=0'
            pair.start_wherries()
            self.assertEqual(auto_converge(pair.src), before)
            pair.sender.process.terminate()
            self.assertEqual(pair.sender.wait(), 143)
            self.assertEqual(downtime_limit(pair.src), limit)

    @unittest.skipUnless(os.access('/dev/kvm', os.W_OK), 'no KVM')
    def test_where_kvm_has_the_dirty_ring_there_is_a_limit_until_the_end(self):
        """The limit is set and cancelled; the guest is paused."""
        for version in ('7.2', '10.0'):
            with self.subTest(version), Link() as link, \
                    Guest(version, accel='kvm,dirty-ring-size=4096', autostart=False) as guest:
                uri, netns = f"wherry://{link.address('a')}", link.netns('a')
                with Wherry.receive(uri, guest.path('in'), netns=netns) as receiver:
                    receiver.wait_listening()
                    with Wherry.send(guest.path('out'), uri, qmp=guest.qmp_path, netns=netns) as sender:
                        sender.wait_for_socket()
                        says(self, sender.stderr, 'throttle: dirty-limit')
                        self.assertEqual([each['cpu-index'] for each in guest.execute('query-vcpu-dirty-limit')], [0])
                        sender.process.terminate()
                        self.assertEqual(sender.wait(), 143)
                        self.assertEqual(guest.execute('query-vcpu-dirty-limit'), [])

    def test_control_groups_of_version_2(self):
        """In a VM, because this machine may have version 1."""
        tests = f"mount -t cgroup2 none /sys/fs/cgroup && {wherry_binary('unit_tests')} --gtest_filter='VcpuQuota*'"
        done = subprocess.run([TESTS / 'verbs/vm', 'sh', '-c', tests], stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r'\[  PASSED  \] [1-9]')
        self.assertNotIn('SKIPPED', done.stdout)


if __name__ == '__main__':
    unittest.main()
