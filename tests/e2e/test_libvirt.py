"""Two hosts with Debian's libvirt: `virsh migrate` from one to the other, without Wherry and through it.

The contract: libvirt lets hostb's QEMU listen at /run/wherry/hostb/ID/ram.sock on hostb, and the source's QEMU connect to the
same path on hosta, where a wherry listens. libvirt does not know of Wherry. libvirt and QEMU are the installed ones, or with
WHERRY_LIBVIRT_SUITE=trixie those of that suite.

Whatever happens, the guest runs on exactly one host and its memory is right, and nothing is left on either host.

Converging: the convergence controller with libvirt instead of QMP and with libvirt's control groups, and a guest that
dirties memory faster than the link carries it.
"""
import contextlib
import glob
import json
import os
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import ABORTED, DEFAULT_PORT, PAGES, Domain, Hosts, Wherry, wait_until, wherry_binary
from test_wherryd import GATEWAY, start_daemons

SUITE = os.environ.get('WHERRY_LIBVIRT_SUITE')
DRIVEN = {'by_client': (), 'p2p': ('--p2p',)}
CONNECTIONS = {'single': (), 'parallel': ('--parallel', '--parallel-connections', '4')}


class TwoHosts(unittest.TestCase):
    def setUp(self):
        self.addCleanup(self.hosts.wait_nothing_left, self.hosts.holdings())

    def path(self, vm):
        return f'/run/{vm.name}.sock'  # not below /run/wherry: what is there is wherryd's

    @contextlib.contextmanager
    def wherries(self, vm, query='', extra=(), port=DEFAULT_PORT):
        """Starts wherry send on hosta and wherry receive on hostb; returns the option of virsh that uses them."""
        path = self.path(vm)
        with Wherry.receive(f'wherry://hostb:{port}', path, host=self.hosts.b) as receiver:
            receiver.wait_listening(port)
            with Wherry.send(path, f'wherry://hostb:{port}{query}', host=self.hosts.a, extra=extra) as sender:
                sender.wait_for_socket()
                try:
                    yield sender, receiver, ('--migrateuri', f'unix://{path}')
                except BaseException as error:
                    for name, wherry in (('send', sender), ('receive', receiver)):
                        error.add_note(f'wherry {name} ({wherry.returncode}): {wherry.stderr}')
                    raise


class Libvirt(TwoHosts):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts(suite=SUITE))

    def check_native(self, options):
        with Domain(self.hosts) as vm:
            vm.migrate(*options)
            vm.check_runs_on(self.hosts.b)

    def check(self, options):
        with Domain(self.hosts) as vm, self.wherries(vm) as (sender, receiver, through):
            vm.migrate(*through, *options)
            self.assertEqual((sender.wait(10), receiver.wait(10)), (0, 0))
            vm.check_runs_on(self.hosts.b)
            for report in (sender.report, receiver.report):
                self.assertEqual((report['status'], report['placement'], report['opaque']), ('completed', 'relay', {}))
                self.assertIn('no --qmp', report['placement_reason'])
            self.assertGreater(sender.report['guest_bytes'], PAGES * 4096)

    def check_aborted(self, options):
        with Domain(self.hosts) as vm, self.wherries(vm) as (sender, receiver, through), ThreadPoolExecutor() as pool:
            migrating = pool.submit(vm.migrate, *through, '--bandwidth', '4', *options)
            wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
            self.hosts.a.virsh('domjobabort', vm.name)
            self.assertRegex(str(migrating.exception()), ABORTED)
            vm.check_runs_on(self.hosts.a)
            for wherry in (sender, receiver):
                self.assertEqual(wherry.wait(10), 1)
                self.assertRegex(wherry.stderr, "source's QEMU")
            # libvirt kills the destination's QEMU, which leaves its socket behind, with any transport.
            self.hosts.b.path(self.path(vm)).unlink(missing_ok=True)

    def test_a_libvirt_that_is_not_there_is_said_once_and_ends_no_migration(self):
        extra = ('--libvirt', 'qemu+unix:///system?socket=/nowhere')
        with Domain(self.hosts) as vm, self.wherries(vm, extra=extra) as (sender, receiver, through):
            vm.migrate(*through)
            self.assertEqual((sender.wait(10), receiver.wait(10)), (0, 0))
            vm.check_runs_on(self.hosts.b)
            self.assertEqual(sender.stderr.count('left to libvirt: cannot connect to'), 1, sender.stderr)


for driven, how in DRIVEN.items():
    setattr(Libvirt, f'test_native_{driven}', lambda self, h=how: self.check_native(h))
    for connections, many in CONNECTIONS.items():
        setattr(Libvirt, f'test_{driven}_{connections}', lambda self, o=(*how, *many): self.check(o))
for connections, many in CONNECTIONS.items():
    setattr(Libvirt, f'test_aborted_{connections}', lambda self, o=many: self.check_aborted(o))

class Converging(TwoHosts):
    URI = 'wherry://hostb?streams=2&downtime=50ms&throttle-max=50'  # out of reach for this guest
    HAS_GROUPS = not SUITE and os.path.exists('/sys/fs/cgroup/cpu/tasks')
    LIMIT, QUOTA = '450', '90000'  # downtime limit in ms; quota in µs per 100000 µs

    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts(rate='80mbit', suite=SUITE, cgroups=cls.HAS_GROUPS))
        start_daemons(cls.hosts)

    @contextlib.contextmanager
    def domain(self):
        with Domain(self.hosts, append=f'pages={PAGES} rate=8000 bytes=4096 mix=random:100 verify=2000') as vm:
            self.hosts.a.virsh('migrate-setmaxdowntime', vm.name, self.LIMIT)
            if self.HAS_GROUPS:
                # libvirt's schedinfo would apply at the destination too, which has no control groups.
                [group] = self.groups(vm)
                Path(group, 'cpu.cfs_quota_us').write_text(self.QUOTA)
            yield vm

    def throttles(self, process):
        return glob.glob(f'/sys/fs/cgroup/**/wherry-throttle-{process}-*', recursive=True)

    def wait_slowed(self, migrating):
        """Waits until the migration throttles its guest; returns wherryd's status. An error if the migration ends."""
        found = []

        def slowed():
            if migrating.done():
                migrating.result()
                self.fail('the migration has ended, and was never slowed')
            found[:] = json.loads(self.hosts.a.run([wherry_binary(), 'status', '--json']))['routes']
            return any(route['progress'].get('throttle', {}).get('peak_percent', 0) > 0 for route in found)
        wait_until(slowed, 60, 'throttle')
        return found[0]

    def groups(self, vm):
        """libvirt's cpu control group of the domain and those below it: number of threads and quota of each."""
        return {group: (len(Path(group, 'tasks').read_text().split()), Path(group, 'cpu.cfs_quota_us').read_text().strip())
                for group in glob.glob(f'/sys/fs/cgroup/cpu/machine/*-{vm.name}.*/vcpu0/**/', recursive=True)}

    def check_as_before(self, vm):
        vm.check_runs_on(self.hosts.a)
        self.assertEqual(self.hosts.a.virsh('migrate-getmaxdowntime', vm.name), self.LIMIT)
        self.assertNotIn('custom monitor', self.hosts.a.virsh('dominfo', vm.name))

    def test_a_guest_that_writes_too_fast_is_slowed_and_moves(self):
        by_hand = ('?streams=2&downtime=500ms', ('--libvirt', 'qemu:///system'), DEFAULT_PORT + 1)
        with self.domain() as vm, self.wherries(vm, *by_hand) as (sender, receiver, through), ThreadPoolExecutor() as pool:
            migrating = pool.submit(vm.migrate, *through)
            wait_until(lambda: self.throttles(sender.process.pid), 20, 'throttle')
            if self.HAS_GROUPS:  # the vCPU's thread is in a group below libvirt's
                wait_until(lambda: sorted(self.groups(vm).values())[0] == (0, self.QUOTA), 20, 'thread in its group')
                self.assertEqual(len(self.groups(vm)), 2)
            migrating.result()
            self.assertEqual((sender.wait(10), receiver.wait(10)), (0, 0))
            vm.check_runs_on(self.hosts.b)
            report = sender.report
            self.assertEqual(report['target_ms'], 500)
            self.assertGreater(report['throttle']['peak_percent'], report['throttle']['mean_percent'])
            for kind in ('predicted', 'measured'):
                self.assertGreater(report['downtime'][kind]['total'], 0)
            self.assertEqual(self.throttles(sender.process.pid), [])

    def test_one_that_stays_is_as_before(self):
        with self.domain() as vm, ThreadPoolExecutor() as pool:
            before = self.groups(vm)
            for end in ('domjobabort', 'kill'):
                with self.subTest(end):
                    migrating = pool.submit(vm.migrate, '--migrateuri', self.URI, to=GATEWAY.format('hostb'))
                    route = self.wait_slowed(migrating)
                    self.assertEqual(len(self.throttles(route['process'])), 1)
                    if end == 'kill':
                        self.hosts.a.run(['kill', '-9', route['process']])
                    else:
                        self.hosts.a.virsh('domjobabort', vm.name)
                    self.assertIsNotNone(migrating.exception())
                    wait_until(lambda: not self.throttles(route['process']), 10, 'end of the throttle')
                    self.assertEqual(self.groups(vm), before)
                    self.check_as_before(vm)

    def test_what_libvirt_is_told_meanwhile_holds(self):
        with self.domain() as vm, ThreadPoolExecutor() as pool:
            through = ('--migrateuri', 'wherry://hostb?streams=2&downtime=300ms&throttle-max=0')
            migrating = pool.submit(vm.migrate, *through, to=GATEWAY.format('hostb'))
            wait_until(lambda: int(vm.job().get('memory_iteration', 0)) > 2, 20, 'second pass')
            self.hosts.a.virsh('migrate-setmaxdowntime', vm.name, '40')
            wait_until(lambda: 'somebody else has set it through libvirt, at 40 ms' in self.hosts.a.log('wherryd'), 20, 'word')
            self.assertEqual(self.hosts.a.virsh('migrate-getmaxdowntime', vm.name), '40')
            self.hosts.a.virsh('migrate-setmaxdowntime', vm.name, '5000')
            migrating.result()
            vm.check_runs_on(self.hosts.b)


if __name__ == '__main__':
    unittest.main()
