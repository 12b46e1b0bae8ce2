"""Two hosts, each with libvirt and a wherryd: `virsh migrate` with a wherry:// URI.

libvirt, QEMU and virsh are as Debian ships them. Whatever happens, the guest runs on exactly one host and finds its memory
right, and nothing is left on either.
"""
import json
import re
import unittest
from concurrent.futures import ThreadPoolExecutor

from lab import Domain, Hosts, wait_until, wherry_binary

GATEWAY = 'qemu+unix:///system?socket=/run/wherry/{}/libvirt-sock'
URI = 'wherry://hostb?streams=4&downtime=100ms'


def start_daemons(hosts):
    for host, other in ((hosts.a, 'hostb'), (hosts.b, 'hosta')):
        # nowhere: a peer that does not exist.
        host.start('wherryd', [wherry_binary('wherryd'), '--listen', f'wherry://{host.name}', '--insecure',
                               '--peer', f'{other}={other}', '--peer', 'nowhere=127.0.0.1:1'])
        for socket in ('wherryd.sock', f'{other}/libvirt-sock', 'nowhere/libvirt-sock'):
            host.wait_listening('wherryd', f'/run/wherry/{socket}')


class Wherryd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts())
        start_daemons(cls.hosts)

    def setUp(self):
        self.addCleanup(self.hosts.wait_nothing_left, self.hosts.holdings())

    def wherry(self, host, *arguments):
        return host.run([wherry_binary(), *arguments])

    def migrate(self, vm, *options, uri=URI, to='hostb', **kwargs):
        vm.migrate(*(['--migrateuri', uri] if uri else []), *options, to=GATEWAY.format(to), **kwargs)

    def check(self, *options, **kwargs):
        with Domain(self.hosts) as vm:
            self.migrate(vm, *options, **kwargs)
            vm.check_runs_on(self.hosts.b)

    def check_refused(self, why, *options, **kwargs):
        with Domain(self.hosts) as vm:
            with self.assertRaisesRegex(RuntimeError, why):
                self.migrate(vm, *options, **kwargs)
            vm.check_runs_on(self.hosts.a)

    def test_client_driven(self):
        self.check()

    def test_p2p(self):
        self.check('--p2p')

    def test_parallel(self):
        self.check('--parallel', '--parallel-connections', '4')

    def test_p2p_parallel(self):
        self.check('--p2p', '--parallel', '--parallel-connections', '4')

    def test_without_a_migrateuri(self):
        self.check(uri=None)

    def test_suspended_guest_arrives_suspended(self):
        with Domain(self.hosts) as vm:
            self.migrate(vm, '--suspend')
            self.assertEqual((vm.state(self.hosts.a), vm.state(self.hosts.b)), ('shut off', 'paused'))
            self.hosts.b.virsh('resume', vm.name)
            vm.check_runs_on(self.hosts.b)

    def test_not_live(self):
        self.check(live=False)

    def test_persistent_and_undefined_at_the_source(self):
        with Domain(self.hosts) as vm:
            self.migrate(vm, '--persistent', '--undefinesource')
            vm.check_runs_on(self.hosts.b)
            self.assertIsNone(vm.state(self.hosts.a))
            self.assertIn(vm.name, self.hosts.b.virsh('list', '--persistent', '--name'))

    def test_a_stream_that_is_not_parsed(self):
        self.check('--compressed', '--comp-methods', 'xbzrle')

    def test_aborted(self):
        with Domain(self.hosts) as vm, ThreadPoolExecutor() as pool:
            migrating = pool.submit(self.migrate, vm, '--bandwidth', '4')
            wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
            self.hosts.a.virsh('domjobabort', vm.name)
            self.assertRegex(str(migrating.exception()), 'canceled by client')
            vm.check_runs_on(self.hosts.a)

    def test_migrating_through_a_route_by_hand(self):
        route = self.wherry(self.hosts.a, 'route', URI)
        self.assertRegex(route, r'^unix:///run/wherry/hostb/[0-9a-f]{16}\.sock$')
        with Domain(self.hosts) as vm:
            vm.migrate('--migrateuri', route)
            vm.check_runs_on(self.hosts.b)

    def test_pages_are_placed_directly_where_qemu_has_a_monitor_to_spare(self):
        for options in ((), ('--parallel', '--parallel-connections', '4')):
            with self.subTest(options=options), Domain(self.hosts, own_qmp=True) as vm:
                before = self.hosts.b.log('wherryd')
                self.migrate(vm, *options)
                vm.check_runs_on(self.hosts.b)
                self.assertIn('placement: direct-mapped', self.hosts.b.log('wherryd')[len(before):])

    def test_pages_are_relayed_otherwise_and_it_says_why(self):
        before = self.hosts.b.log('wherryd')
        self.check()
        self.assertRegex(self.hosts.b.log('wherryd')[len(before):],
                         r'placement: relay \(no --qmp was given .* has no monitor of its own')

    def test_storage_moves_along(self):
        size = 32 << 20
        with Domain(self.hosts, disk=size) as vm, ThreadPoolExecutor() as pool:
            route, disks = self.wherry(self.hosts.a, 'route', URI, '--disks').split()
            migrating = pool.submit(vm.migrate, '--migrateuri', route, '--disks-uri', disks, '--copy-storage-all',
                                    '--bandwidth', '16')
            wait_until(lambda: int(vm.job().get('disk_processed', 0)) > 1 << 20, 20, 'the disk on its way')
            for i in range(8):  # behind and ahead of where the copying is
                vm.write_disk(i * size // 8, 65536, 0x11 + i, self.hosts.a)
            migrating.result()
            vm.check_runs_on(self.hosts.b)
            self.assertEqual(vm.disk(self.hosts.a), vm.disk(self.hosts.b))
            written = [vm.disk(self.hosts.b)[at:at + 65536] for at in range(0, size, size // 8)]
            self.assertEqual(written, [bytes([0x11 + i]) * 65536 for i in range(8)])

    def test_to_and_fro(self):
        with Domain(self.hosts) as vm:
            for here, there in 4 * ((self.hosts.a, self.hosts.b), (self.hosts.b, self.hosts.a)):
                self.migrate(vm, uri=f'wherry://{there.name}', to=there.name, source=here)
                vm.check_runs_on(there)

    def test_four_at_once(self):
        with Domain(self.hosts) as one, Domain(self.hosts) as two, Domain(self.hosts) as three, \
                Domain(self.hosts) as four, ThreadPoolExecutor() as pool:
            domains = (one, two, three, four)
            for done in [pool.submit(self.migrate, vm) for vm in domains]:
                done.result()
            for vm in domains:
                vm.check_runs_on(self.hosts.b)

    def test_a_killed_migration_takes_nothing_else_along(self):
        with Domain(self.hosts) as vm, ThreadPoolExecutor() as pool:
            migrating = pool.submit(self.migrate, vm, '--bandwidth', '4')
            wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
            [route] = json.loads(self.wherry(self.hosts.a, 'status', '--json'))['routes']
            self.hosts.a.run(['kill', '-9', route['process']])
            self.assertIsNotNone(migrating.exception())
            vm.check_runs_on(self.hosts.a)
            self.migrate(vm)
            vm.check_runs_on(self.hosts.b)

    def test_a_migration_outlives_the_daemons(self):
        with Hosts() as hosts:  # of its own: the daemons are gone then
            start_daemons(hosts)
            route = hosts.a.run([wherry_binary(), 'route', URI])
            with Domain(hosts) as vm, ThreadPoolExecutor() as pool:
                migrating = pool.submit(vm.migrate, '--migrateuri', route, '--bandwidth', '4')
                wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
                for host in hosts:
                    host.kill('wherryd')
                hosts.a.virsh('migrate-setspeed', vm.name, '1000')
                migrating.result()
                vm.check_runs_on(hosts.b)

    def test_a_route_that_is_not_used_goes_with_the_connection(self):
        # A name that the far libvirt cannot use, as it finds when the route is there.
        self.check_refused(r'Unable to open file: .*/a/b\.log', '--dname', 'a/b')
        self.assertEqual(json.loads(self.wherry(self.hosts.a, 'status', '--json'))['routes'], [])

    def test_wrong_host_name(self):
        self.check_refused('wherry: no route to hostx: cannot resolve hostx', uri='wherry://hostx')

    def test_unknown_key(self):
        self.check_refused('unknown key "stream" in the URI', uri='wherry://hostb?stream=4')

    def test_nobody_at_the_far_end(self):
        self.check_refused(r'wherry: libvirt of nowhere: cannot connect to 127\.0\.0\.1:1.*does wherryd run there', to='nowhere')

    def test_what_goes_on_is_told(self):
        said = self.wherry(self.hosts.a, 'status')
        self.assertTrue(re.search(r'^\d+ connections to libvirt$', said, re.M), said)


if __name__ == '__main__':
    unittest.main()
