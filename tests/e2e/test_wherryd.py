"""Two hosts, each with libvirt and a wherryd: `virsh migrate` with a wherry:// URI.

libvirt, QEMU and virsh are Debian's; with WHERRY_LIBVIRT_SUITE=trixie the class Wherryd uses those of that suite.
Whatever happens, the guest runs on exactly one host and its memory is right, and nothing is left on either host.
"""
import fcntl
import grp
import json
import os
import pty
import re
import signal
import struct
import subprocess
import tempfile
import termios
import unittest
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from lab import ABORTED, PAGES, Domain, Hosts, says, wait_until, wherry_binary

GATEWAY = 'qemu+unix:///system?socket=/run/wherry/{}/libvirt-sock'
DRIVEN = ((), ('--p2p',))
URI = 'wherry://hostb?streams=4&downtime=100ms'
SUITE = os.environ.get('WHERRY_LIBVIRT_SUITE')


def start_daemons(hosts):
    for host, other in ((hosts.a, hosts.b), (hosts.b, hosts.a)):
        # nowhere: a peer that does not exist.
        host.path('/run/wherry.toml').write_text(
            f'listen = "wherry://{host.name}?provider=tcp"\ninsecure = true\nbandwidth = "10Gbps"\n')
        host.start('wherryd', [wherry_binary('wherryd'), '--config', '/run/wherry.toml',
                               '--peer', f'{other.name}={other.address},libvirt=manage',
                               '--peer', 'nowhere=127.0.0.1:1'])
        for socket in ('wherryd.sock', f'{other.name}/libvirt-sock', 'nowhere/libvirt-sock'):
            host.wait_listening('wherryd', f'/run/wherry/{socket}')


class Wherryd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts(suite=SUITE))
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

    def test_over_the_provider_of_listen(self):
        self.check(uri='wherry://hostb?provider=tcp&streams=7')
        self.assertIn('transport: rdma for 7 of 7 lanes', self.hosts.a.log('wherryd'))

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
            self.assertRegex(str(migrating.exception()), ABORTED)
            vm.check_runs_on(self.hosts.a)

    def test_figures_and_limits_while_it_runs(self):
        with Domain(self.hosts) as vm, ThreadPoolExecutor() as pool:
            self.hosts.a.virsh('migrate-setspeed', vm.name, '4')
            migrating = pool.submit(self.migrate, vm)
            wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
            self.assertEqual(self.hosts.a.virsh('migrate-getspeed', vm.name), '4')
            self.hosts.a.virsh('migrate-setmaxdowntime', vm.name, '200')
            self.assertEqual(self.hosts.a.virsh('migrate-getmaxdowntime', vm.name), '200')
            job = vm.job()
            for figure in ('data_total', 'data_remaining', 'memory_remaining'):
                self.assertGreater(int(job[figure]), 0, job)
            self.hosts.a.virsh('migrate-setspeed', vm.name, '1000')
            migrating.result()
            completed = vm.job('--completed')
            self.assertEqual(completed['data_remaining'], '0')
            self.assertGreater(int(completed['data_processed']), PAGES * 4096)
            vm.check_runs_on(self.hosts.b)

    def test_a_guest_that_takes_too_long_is_suspended(self):
        with Domain(self.hosts) as vm, ThreadPoolExecutor() as pool:
            migrating = pool.submit(self.migrate, vm, '--bandwidth', '4', '--timeout', '1', '--timeout-suspend')
            wait_until(lambda: vm.state(self.hosts.a) == 'paused', 20, 'suspended guest')
            self.hosts.a.virsh('migrate-setspeed', vm.name, '1000')
            migrating.result()
            vm.check_runs_on(self.hosts.b)

    def test_postcopy(self):
        with Domain(self.hosts) as vm, ThreadPoolExecutor() as pool:
            migrating = pool.submit(self.migrate, vm, '--postcopy', '--bandwidth', '4')
            wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
            self.hosts.a.virsh('migrate-postcopy', vm.name)
            migrating.result()
            vm.check_runs_on(self.hosts.b)

    if SUITE != 'trixie':  # libvirt 11.3 crashes on every resumption
        def test_a_postcopy_that_was_cut_is_resumed(self):
            # A guest that never sleeps takes no interrupts. Under TCG, QEMU delivers an interrupt with its big lock held. If
            # the guest's interrupt table or stack has not arrived, QEMU waits with the lock, and libvirt 9.0 waits for QEMU.
            awake = f'pages={PAGES} rate=2000'
            with Domain(self.hosts, append=awake) as vm, ThreadPoolExecutor() as pool:
                migrating = pool.submit(self.migrate, vm, '--postcopy', '--bandwidth', '4')
                wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
                self.hosts.link.set_rate('a', '1mbit')  # so that it does not end before it is cut
                self.addCleanup(self.hosts.link.set_rate, 'a', '10gbit')
                self.hosts.a.virsh('migrate-postcopy', vm.name)
                wait_until(lambda: vm.state(self.hosts.b) == 'running', 30, 'guest on host b')
                [route] = json.loads(self.wherry(self.hosts.a, 'status', '--json'))['routes']
                self.hosts.a.run(['kill', '-9', route['process']])
                self.assertIsNotNone(migrating.exception())
                # libvirt undoes a resumption that begins before it has noticed the failure, on either host.
                for host, state in (self.hosts.a, 'paused'), (self.hosts.b, 'running'):
                    wait_until(lambda: host.virsh('domstate', '--reason', vm.name) == f'{state} (post-copy failed)', 30,
                               f'failed post-copy on {host.name}')
                self.hosts.link.set_rate('a', '10gbit')
                try:
                    self.migrate(vm, '--postcopy', '--postcopy-resume')
                except RuntimeError as error:
                    # libvirt 9.0 queries the destination before the connection has reached it and gets the old state. The
                    # recovery continues over the route, and libvirt ends it.
                    self.assertIn('failed in post-copy phase', str(error))
                wait_until(lambda: vm.state(self.hosts.a) in ('shut off', None), 60, 'end of the recovery')
                vm.check_runs_on(self.hosts.b)

    def test_migrating_through_a_route_by_hand(self):
        route = self.wherry(self.hosts.a, 'route', URI)
        self.assertRegex(route, r'^unix:///run/wherry/hostb/[0-9a-f]{16}/ram\.sock$')
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
            with self.assertRaises(RuntimeError):  # nobody serves the disk yet; a connection must not end the route
                self.hosts.a.run(['qemu-img', 'info', f"nbd+unix:///?socket={disks.removeprefix('unix://')}"])
            migrating = pool.submit(vm.migrate, '--migrateuri', route, '--disks-uri', disks, '--copy-storage-all',
                                    '--bandwidth', '16')
            wait_until(lambda: int(vm.job().get('disk_processed', 0)) > 1 << 20, 20, 'the disk on its way')
            for i in range(8):  # before and after the place that is being copied
                vm.write_disk(i * size // 8, 65536, 0x11 + i, self.hosts.a)
            migrating.result()
            vm.check_runs_on(self.hosts.b)
            self.assertEqual(vm.disk(self.hosts.a), vm.disk(self.hosts.b))
            written = [vm.disk(self.hosts.b)[at:at + 65536] for at in range(0, size, size // 8)]
            self.assertEqual(written, [bytes([0x11 + i]) * 65536 for i in range(8)])

    def test_to_and_fro(self):
        with Domain(self.hosts) as vm:
            before = None
            for _ in range(5):
                for here, there in ((self.hosts.a, self.hosts.b), (self.hosts.b, self.hosts.a)):
                    self.migrate(vm, uri=f'wherry://{there.name}', to=there.name, source=here)
                    vm.check_runs_on(there)
                before = before or [host.memory('wherryd') for host in self.hosts]
            for host, at_first in zip(self.hosts, before):
                self.assertLess(host.memory('wherryd'), at_first + (1 << 20), host.name)

    def test_four_at_once(self):
        with Domain(self.hosts) as one, Domain(self.hosts) as two, Domain(self.hosts) as three, \
                Domain(self.hosts) as four, ThreadPoolExecutor() as pool:
            domains = (one, two, three, four)
            for done in [pool.submit(self.migrate, vm) for vm in domains]:
                done.result()
            for vm in domains:
                vm.check_runs_on(self.hosts.b)

    def test_bandwidth_is_shared_and_can_be_set(self):
        limited = URI + '&bandwidth=2Gbps'

        def routes():
            return {route['uri']: route for route in json.loads(self.wherry(self.hosts.a, 'status', '--json'))['routes']}

        def wait_shares(shares):  # Mbit/s
            def told():
                return {uri: route['progress'].get('bandwidth', 0) * 8 // 10**6 for uri, route in routes().items()}
            wait_until(lambda: told() == shares, 20, f'{shares} of bandwidth')

        with Domain(self.hosts) as one, Domain(self.hosts) as two, ThreadPoolExecutor() as pool:
            migrating = [pool.submit(self.migrate, vm, '--bandwidth', '4', uri=uri) for vm, uri in ((one, URI), (two, limited))]
            wait_shares({URI: 8000, limited: 2000})
            paths = {uri: route['path'] for uri, route in routes().items()}
            self.wherry(self.hosts.a, 'set', paths[limited], 'bandwidth=off')
            wait_shares({URI: 5000, limited: 5000})
            self.wherry(self.hosts.a, 'set', f'unix://{paths[URI]}', 'bandwidth=1Gbps')
            wait_shares({URI: 1000, limited: 9000})
            for vm, migration, left in ((one, migrating[0], {limited: 10000}), (two, migrating[1], {})):
                self.hosts.a.virsh('domjobabort', vm.name)
                self.assertIsNotNone(migration.exception())
                wait_shares(left)
            with self.assertRaisesRegex(RuntimeError, 'no route at .* leaves this host'):
                self.wherry(self.hosts.a, 'set', paths[URI], 'bandwidth=off')

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
        with Hosts() as hosts:  # separate hosts, because the daemons end
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
        # A name that the destination's libvirt cannot use; it notices when the route exists already.
        self.check_refused(r'Unable to open file: .*/a/b\.log', '--dname', 'a/b')
        wait_until(lambda: json.loads(self.wherry(self.hosts.a, 'status', '--json'))['routes'] == [], 20, 'end of the route')

    def test_wrong_host_name(self):
        self.check_refused('wherry: no route to hostx: cannot resolve hostx', uri='wherry://hostx')

    def test_no_route_and_no_directory(self):
        self.hosts.b.run(['mkdir', '-p', '/run/wherry/hostb/0'])
        for path, why in (('hostb/0/ram.sock', "connect socket to '/run/wherry/hostb/0/ram.sock': No such file"),
                          ('hostx/0/ram.sock', 'bind socket to /run/wherry/hostx/0/ram.sock: No such file')):
            with self.subTest(path):
                self.check_refused(why, uri=f'unix:///run/wherry/{path}')
        self.hosts.b.run(['rm', '-r', '/run/wherry/hostb/0'])  # with QEMU's socket: libvirt kills that QEMU

    def test_unknown_key(self):
        self.check_refused('unknown key "stream" in the URI', uri='wherry://hostb?stream=4')

    def test_nobody_at_the_far_end(self):
        self.check_refused(r'wherry: libvirt of nowhere: cannot connect to 127\.0\.0\.1:1.*does wherryd run there', to='nowhere')

    def test_what_goes_on_is_told(self):
        said = self.wherry(self.hosts.a, 'status')
        self.assertTrue(re.search(r'^\d+ connections to libvirt$', said, re.M), said)

    def watch(self, host, output=subprocess.PIPE):
        watching = host.popen([wherry_binary(), 'watch'], stdout=output)
        self.addCleanup(watching.wait)
        self.addCleanup(watching.kill)
        return watching

    def test_watched(self):
        with Domain(self.hosts) as vm, ThreadPoolExecutor() as pool:
            migrating = pool.submit(self.migrate, vm, '--bandwidth', '4')
            for host, row in ((self.hosts.a, rb'hostb +source +1 .* \d+\.\d [kM]B/s +\d+\.\d\d '),
                              (self.hosts.b, rb'[0-9.]+:\d+ +destination ')):
                with self.watch(host).stdout as output:  # a few lines a second
                    self.assertTrue(any(re.match(row, line) for line in islice(output, 60)), host.name)
            self.hosts.a.virsh('migrate-setspeed', vm.name, '1000')
            migrating.result()

    def test_watched_at_a_terminal(self):
        here, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('4H', 24, 20, 0, 0))
        watching = self.watch(self.hosts.a, terminal)
        os.close(terminal)
        with open(here, 'rb', buffering=0) as screen:
            seen = b''
            while seen.count(b'\n') < 2:
                seen += screen.read(1000)
            self.assertRegex(seen, rb'^no migrations, \d+ con\r\n\r\x1b\[1A\x1b\[Jno migrations, \d+ con\r\n')
            watching.send_signal(signal.SIGINT)
            self.assertEqual(watching.wait(10), -signal.SIGINT)


class Strangers(unittest.TestCase):
    """Restricted access of hosta to hostb's libvirt."""

    def check_refused(self, settings, why):
        with Hosts() as hosts:
            hosts.a.start('wherryd', [wherry_binary('wherryd'), '--listen', 'wherry://hosta', '--insecure',
                                      '--peer', f'hostb={hosts.b.address}'])
            hosts.b.path('/run/wherry.toml').write_text(f'listen = "wherry://hostb"\ninsecure = true\n{settings}')
            hosts.b.start('wherryd', [wherry_binary('wherryd'), '--config', '/run/wherry.toml'])
            hosts.a.wait_listening('wherryd', '/run/wherry/hostb/libvirt-sock')
            hosts.b.wait_listening('wherryd', '/run/wherry/wherryd.sock')
            before = hosts.holdings()
            with Domain(hosts) as vm:
                for options in DRIVEN:
                    with self.assertRaisesRegex(RuntimeError, why):
                        vm.migrate('--migrateuri', URI, *options, to=GATEWAY.format('hostb'))
                vm.check_runs_on(hosts.a)
            hosts.wait_nothing_left(before)

    def test_a_host_that_is_not_in_the_list(self):
        self.check_refused('', 'libvirt of hostb: 10.98.0.2:16520 refused: 10.98.0.1 is not the address of a peer')

    def test_a_host_that_is_not_in_the_list_and_may_look(self):
        self.check_refused('others = "read-only"\n',
                           'hostb gives this host read-only access to its libvirt.*name this host .*in its wherry.toml')

    def test_a_peer_that_nothing_is_said_about(self):
        self.check_refused('[peers.hosta]\naddress = "10.98.0.1"\n',
                           'libvirt of hostb: 10.98.0.2:16520 refused: .* is not allowed to use this host\'s libvirt')


CERTIFICATES = r'''
set -eu
cd "$1"
tool() { certtool --outfile "$@" 2>/dev/null; }
echo 'cn = ca
ca
cert_signing_key' >ca
for host in hosta hostb; do
  echo "cn = $host
dns_name = $host
tls_www_server
tls_www_client
signing_key
encryption_key" >$host
done
tool ca-key.pem --generate-privkey --ecc
tool ca-cert.pem --generate-self-signed --template ca --load-privkey ca-key.pem
for host in hosta hostb; do
  mkdir $host.pem
  cp ca-cert.pem $host.pem
  tool $host.pem/server-key.pem --generate-privkey --ecc
  tool $host.pem/server-cert.pem --generate-certificate --template $host --load-privkey $host.pem/server-key.pem \
    --load-ca-certificate ca-cert.pem --load-ca-privkey ca-key.pem
  for kind in key cert; do cp $host.pem/server-$kind.pem $host.pem/client-$kind.pem; done
done
chmod -R a+rX .
'''


class AsShipped(unittest.TestCase):
    """QEMU runs as libvirt-qemu, Debian's default, and has certificates."""

    @classmethod
    def setUpClass(cls):
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        subprocess.run(['sh', '-c', CERTIFICATES, 'sh', directory], check=True)
        cls.hosts = cls.enterClassContext(Hosts(qemu=lambda host: f'''
user = "libvirt-qemu"
group = "libvirt-qemu"
migrate_tls_x509_cert_dir = "{directory}/{host}.pem"
'''))
        for host in cls.hosts:
            other = cls.hosts.b if host is cls.hosts.a else cls.hosts.a
            host.path('/run/wherry.toml').write_text(f'''
listen = "wherry://{host.name}"
insecure = true
qemu_user = "libvirt-qemu"
administrators = "operator"
[peers.{other.name}]
address = "{other.address}"
libvirt = "manage"
uri = "wherry://{other.name}?streams=3"
''')
            host.start('wherryd', [wherry_binary('wherryd'), '--config', '/run/wherry.toml'])
            for socket in ('wherryd.sock', f'{other.name}/libvirt-sock'):
                host.wait_listening('wherryd', f'/run/wherry/{socket}')

    def setUp(self):
        self.addCleanup(self.hosts.wait_nothing_left, self.hosts.holdings())

    def check(self, *options):
        with Domain(self.hosts) as vm:
            vm.migrate('--migrateuri', URI, *options, to=GATEWAY.format('hostb'))
            vm.check_runs_on(self.hosts.b)

    def test_qemu_that_is_not_root(self):
        self.check()

    def test_qemu_that_is_not_root_connects_itself(self):
        self.check('--parallel')

    def test_a_uri_that_is_not_wherrys_is_replaced(self):
        for uri in ((), ('--migrateuri', 'tcp://hostb')):
            with self.subTest(uri), Domain(self.hosts) as vm:
                before = self.hosts.a.log('wherryd')
                vm.migrate(*uri, to=GATEWAY.format('hostb'))
                vm.check_runs_on(self.hosts.b)
                self.assertRegex(self.hosts.a.log('wherryd')[len(before):], r'is open .* for wherry://hostb\?streams=3')

    def test_tls_to_another_name_than_the_certificate_has(self):
        with Domain(self.hosts) as vm:
            # The first message is the source's, the second the destination's; libvirt reports whichever comes first.
            with self.assertRaisesRegex(RuntimeError, 'not match the hostname nope|Cannot read from TLS channel'):
                vm.migrate('--migrateuri', URI, '--tls', '--tls-destination', 'nope', to=GATEWAY.format('hostb'))
            vm.check_runs_on(self.hosts.a)

    def test_tls(self):
        self.check('--tls', '--tls-destination', 'hostb')

    def test_directories_are_for_who_makes_sockets_there_and_nobody_else(self):
        self.addCleanup(self.end_routes)
        route = self.hosts.a.run([wherry_binary(), 'route', URI])
        directory = os.path.dirname(route.removeprefix('unix://'))
        a, b = self.hosts
        for host, path, expected in ((b, directory, 'libvirt-qemu libvirt-qemu 700'), (a, directory, 'root root 711'),
                                     (b, '/run/wherry/hostb', 'root root 711'), (b, '/run/wherry/hosta', 'root root 711'),
                                     (a, '/run/wherry/hostb', 'root root 711'),
                                     (a, '/run/wherry/hostb/libvirt-sock', 'root operator 660'),
                                     (a, '/run/wherry/wherryd.sock', 'root operator 660')):
            with self.subTest(f'{host.name} {path}'):
                self.assertEqual(host.run(['stat', '--format', '%U %G %a', path]), expected)

    def end_routes(self):
        """Nobody waits until an unused route ends by itself."""
        for route in json.loads(self.hosts.a.run([wherry_binary(), 'status', '--json']))['routes']:
            self.hosts.a.run(['kill', str(route['process'])])

    def test_administrators_may_use_gateways_and_make_routes_and_qemu_may_not(self):
        self.addCleanup(self.end_routes)
        for user, groups, may in ((64055, '64055', False), (65534, '65534', False), (65534, f'{grp.getgrnam("operator").gr_gid}', True)):
            with self.subTest(user=user, groups=groups):
                as_user = ['setpriv', f'--reuid={user}', f'--regid={user}', f'--groups={groups}']
                for command in ([wherry_binary(), 'status'], [wherry_binary(), 'route', URI],
                                ['virsh', '-c', GATEWAY.format('hostb'), 'uri']):
                    done = subprocess.run(self.hosts.a.inside([*as_user, *command]), capture_output=True, text=True, timeout=60)
                    self.assertEqual(done.returncode == 0, may, (command, done.stderr))
                    if not may:
                        self.assertIn('Permission denied', done.stderr)

    def test_what_administrators_may_ask_for(self):
        """docs/threat-model.md has it as a table."""
        self.addCleanup(self.end_routes)
        operator = ['setpriv', '--reuid=65534', '--regid=65534', f'--groups={grp.getgrnam("operator").gr_gid}']

        def ask(**question):
            program = ('import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect("/run/wherry/wherryd.sock"); '
                       's.sendall(sys.argv[1].encode() + b"\\n"); print(s.makefile().readline())')
            return json.loads(self.hosts.a.run([*operator, 'python3', '-c', program, json.dumps(question)]))

        for command in ('stop', 'kill', 'drop', 'config', 'libvirt', None):
            says(self, ask(command=command, path='/run/wherry/hostb', uri=URI)['error'], 'does not know that command')
        for uri in (f'{URI}&trace=/run/trace', f'{URI}&qemu=unix:/run/x', f'{URI}&user=root', 'wherry://hostb/hostb/1',
                    'unix:///run/x', '--trace', f'{URI} --trace /run/trace', 'wherry://hostb,../../x'):
            with self.subTest(uri):
                self.assertIn('error', ask(command='route', uri=uri))
        self.assertEqual(ask(command='status')['routes'], [])
        for path in ('/etc/passwd', '/run/wherry/hostb/libvirt-sock', ''):
            says(self, ask(command='set', path=path, bandwidth=1)['error'], 'no route at')

        route = ask(command='route', uri=URI)
        self.assertEqual(ask(command='set', path=route['path'], bandwidth=10 ** 9), {})
        [seen] = ask(command='status')['routes']
        self.assertEqual((seen['path'], seen['uri']), (route['path'], URI))
        for socket in route.values():
            connect = f'import socket; socket.socket(socket.AF_UNIX).connect("{socket}")'
            done = subprocess.run(self.hosts.a.inside([*operator, 'python3', '-c', connect]), capture_output=True, text=True,
                                  timeout=20)
            self.assertIn('PermissionError', done.stderr)

    def test_doctor_says_whether_qemu_can_make_its_sockets(self):
        config = self.hosts.b.path('/run/wherry.toml').read_text()
        for user, level in (('libvirt-qemu', 'ok'), ('', 'problem'), ('daemon', 'problem')):
            with self.subTest(user):
                self.hosts.b.path('/run/user.toml').write_text(config.replace('"libvirt-qemu"', f'"{user}"'))
                done = subprocess.run(self.hosts.b.inside([wherry_binary(), 'doctor', '--json', '--config', '/run/user.toml']),
                                      capture_output=True, text=True, timeout=60)
                [found] = [each for each in json.loads(done.stdout) if each['about'] == 'qemu user']
                self.assertEqual(found['level'], level, found)
                says(self, found['found'], 'QEMU as libvirt-qemu')
                if level == 'problem':
                    says(self, found['remedy'], 'qemu_user = "libvirt-qemu"')

    def test_what_gave_qemu_the_libvirt_of_the_peers_is_refused(self):
        for settings, parts in (('group = "libvirt-qemu"', ('`group`', 'qemu_user', 'administrators')),
                                ('qemu_user = "libvirt-qemu"\nadministrators = "libvirt-qemu"', ('in the group libvirt-qemu',))):
            with self.subTest(settings):
                self.hosts.b.path('/run/refused.toml').write_text(f'listen = "wherry://127.0.0.1:17999"\n{settings}\n'
                                                                  'runtime_dir = "/run/refused"\n')
                for check in ([], ['--check']):
                    command = [wherry_binary('wherryd'), '--config', '/run/refused.toml', *check]
                    done = subprocess.run(self.hosts.b.inside(command), capture_output=True, text=True, timeout=20)
                    self.assertEqual(done.returncode, 2, 'systemd would start it again')
                    says(self, done.stderr, *parts)


if __name__ == '__main__':
    unittest.main()
