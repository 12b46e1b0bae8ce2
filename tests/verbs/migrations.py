#!/usr/bin/env python3
"""Migrations of the test guest over RDMA, and failures of the network: runs in both VMs of the verbs lab.

    tests/verbs/vm -n 2 tests/verbs/migrations.py KERNEL [TEST…]

KERNEL is the file of the test guest, TEST a unittest name (default: Migrations). Node 0 has the guest and runs the tests.
Node 1 is the destination and executes what node 0 tells it. A nested QEMU takes seconds to start, so all tests use one source;
after a guest has migrated, the source's QEMU resumes its own copy.
"""
import contextlib
import functools
import hashlib
import itertools
import json
import os
import pickle
import subprocess
import sys
import time
import traceback
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'e2e'))
from lab import Guest, Wherry, page_hashes, says, wait_until  # noqa: E402

NODE, PEER, SHARED = int(os.environ['VM_NODE']), os.environ['VM_PEER'], Path(os.environ['VM_SHARED'])
RAILS = f"{PEER},{os.environ['VM_RAIL_PEER']},[{os.environ['VM_PEER6']}]"
KERNEL = sys.argv[1]
# The working set of the test guest; bench/rdma_migration uses more.
PAGES = int(os.environ.get('GUEST_PAGES', 2048))
RAM = {'ram_kib': 4 * PAGES + (24 << 10) + 8, 'append': f'pages={PAGES} rate=500 mix=text:50,random:40,flip:10 verify=4000'}
# Seconds between two polls, because frequent polling takes much processor time in a VM.
SELDOM = 0.2
ON_DEMAND = 'ODP_SUPPORT' in subprocess.run(['ibv_devinfo', '-v'], stdout=subprocess.PIPE, text=True).stdout
# Not in CI, whose kernel does not support it (tests/verbs/image.py).
PAGES_ON_DEMAND = unittest.skipUnless(ON_DEMAND, "this kernel's soft-RoCE has no on-demand paging (from Linux 6.15 on)")


def run(*argv):
    subprocess.run(argv, check=True)


class Limited:
    """A host for lab.Wherry whose programs can lock only 64 KiB of memory, even as root."""
    @staticmethod
    def inside(argv):
        return ['prlimit', '--memlock=65536', 'setpriv', '--bounding-set=-ipc_lock', *argv]


class OnDemand:
    """A host of the same kind where libfabric registers memory on demand if the device can, and so locks none."""
    @staticmethod
    def inside(argv):
        return Limited.inside(['env', 'FI_VERBS_USE_ODP=1', *argv])


class Destination:
    """The destination, on node 1."""

    def __init__(self):
        self.receiver = None
        self.start()

    def start(self):
        self.guest, self.used = Guest(incoming=True, kernel=KERNEL, **RAM), False

    def close(self):
        for each in filter(None, (self.receiver, self.guest)):
            each.close()

    def listen(self, uri=None):
        """Starts a new guest that waits for a migration."""
        if self.used:
            self.close()
            self.start()
        self.used = True
        self.guest.configure_migration()
        self.guest.execute('migrate-incoming', uri=uri or f"unix:{self.guest.path('in')}")

    def receive(self, host=None):
        self.listen()
        self.receiver = Wherry.receive('wherry://[::]', self.guest.path('in'), qmp=self.guest.qmp_path, host=host)
        self.receiver.wait_listening()

    def received(self, timeout):
        """Waits for the receiver's end; returns exit status, message and report."""
        return self.receiver.wait(timeout), self.receiver.stderr, self.receiver.report

    def kill_receiver(self):
        self.receiver.kill()

    def memory(self):
        """The file that is the guest's memory."""
        files = Path(f'/proc/{self.guest.process.pid}/fd').iterdir()
        # Unlike os.readlink, it does not fail if a file is closed meanwhile.
        [ram] = (file for file in files if os.path.realpath(file).startswith('/memfd:'))
        return ram

    def resident(self):
        """Resident bytes of the guest's memory."""
        return os.stat(self.memory()).st_blocks * 512

    def allocate(self):
        """Makes all of the guest's memory resident."""
        with open(self.memory(), 'r+b') as ram:
            for at in range(0, os.fstat(ram.fileno()).st_size, 4096):
                os.pwrite(ram.fileno(), b'\0', at)

    def ram(self):
        return page_hashes(self.guest)

    def go_on(self):
        """Runs the guest that has arrived here; returns the faults that it finds in its memory."""
        self.guest.cont()
        self.guest.wait_verified(PAGES)
        self.guest.stop()
        return self.guest.bad()

    run = staticmethod(run)


class Far:
    """A proxy on node 0 for node 1's Destination: far.receive() calls receive() there and returns its result or raises its
    exception. Calls and results go through files, because the network may be down."""
    _count = itertools.count()

    def __getattr__(self, name):
        return functools.partial(self._order, name)

    def _order(self, name, *arguments):
        number = next(self._count)
        put(f'{number}.order', (name, arguments))
        result, raised = get(f'{number}.answer', 150)
        if raised:
            raise RuntimeError(f'node 1: {raised}')
        return result


def put(name, what):
    (SHARED / f'{name}.new').write_bytes(pickle.dumps(what))
    os.rename(SHARED / f'{name}.new', SHARED / name)


def get(name, timeout):
    return pickle.loads(wait_until(lambda: (SHARED / name).exists() and (SHARED / name).read_bytes(), timeout, name, SELDOM))


def serve():
    destination = Destination()
    with contextlib.closing(destination):
        for number in itertools.count():
            name, arguments = get(f'{number}.order', 150)
            if name == 'end':
                return
            try:
                answer = getattr(destination, name)(*arguments), None
            except Exception:
                answer = None, traceback.format_exc()
            put(f'{number}.answer', answer)


class Source(unittest.TestCase):
    """Shared by the tests below."""

    @classmethod
    def setUpClass(cls):
        cls.far = Far()
        cls.src = cls.enterClassContext(Guest(kernel=KERNEL, **RAM))
        cls.src.wait_ready(60)

    def setUp(self):
        self.src.configure_migration(downtime_limit=1000)

    def send(self, keys='', scheme='wherry+rdma', to=PEER, host=None):
        return Wherry.send(self.src.path('out'), f'{scheme}://{to}?{keys}', host=host)

    def begin(self, keys, there=None, allocated=False, **options):
        self.far.receive(there)
        if allocated:
            self.far.allocate()
        self.sender = self.enterContext(self.send(keys, **options))
        self.sender.wait_for_socket(30)
        self.src.execute('migrate', uri=f"unix:{self.src.path('out')}")

    def hold(self, keys):
        """Starts a migration that stays in its middle."""
        self.src.configure_migration(downtime_limit=1, max_bandwidth=4 << 20)
        self.begin(keys)
        wait_until(lambda: self.src.execute('query-migrate').get('ram', {}).get('dirty-sync-count', 0) >= 2, 60, 'pass 2')

    def complete(self, transport='rdma'):
        try:
            self.src.wait_migrated(90, SELDOM)
        except Exception as error:
            error.add_note(self.sender.stderr)
            raise
        self.assertEqual(self.sender.wait(30), 0, self.sender.stderr)
        code, self.receiver_said, there = self.far.received(30)
        self.assertEqual(code, 0, self.receiver_said)
        self.check_moved()
        for report in (self.sender.report, there):
            self.assertEqual((report['status'], report['transport']), ('completed', transport), report)
        return there

    def check_moved(self):
        self.resident = self.far.resident()  # before reading all of it
        self.here, there = page_hashes(self.src), self.far.ram()
        self.assertEqual([page for page, pair in enumerate(zip(self.here, there, strict=True)) if pair[0] != pair[1]], [])
        self.assertEqual(self.far.go_on(), [])
        self.src.cont()

    def check_goes_on(self, within):
        """The source's QEMU gives up within that time, and its guest keeps running."""
        def runs_on():
            return self.src.execute('query-migrate')['status'] == 'failed' and self.src.status() == 'running'
        wait_until(runs_on, within, 'guest that runs on')
        self.src.wait_verified(PAGES, passed_ticks=len(self.src.ticks()))
        self.assertEqual(self.src.bad(), [])

    def check_lost_link(self, resume, longest):
        """The link has just been cut: the guest runs again soon, both ends name the cause and end in time."""
        began = time.monotonic()
        self.check_goes_on(resume + 10)
        runs_on = time.monotonic() - began
        self.assertEqual(self.sender.wait(longest), 1)
        code, said, _ = self.far.received(longest)
        self.assertEqual(code, 1)
        print(f'the guest ran on after {runs_on:.1f} s, both wherries had ended after {time.monotonic() - began:.1f} s')
        for text in self.sender.stderr, said:
            self.assertRegex(text, 'timed out|nothing got through|unreachable')


class Migrations(Source):
    def test_raw(self):
        """Into guest memory, which stays sparse, through two devices, one of which has two addresses."""
        self.check_raw()

    def test_raw_into_allocated_memory(self):
        """It can be registered, so the devices write into guest memory itself."""
        self.src.configure_migration(downtime_limit=1000, max_bandwidth=8 << 20)  # nobody waits for registrations
        self.begin('compress=off&streams=3', to=RAILS, allocated=True)
        there = self.complete()
        self.assertTrue(all(lane['written'] for lane in there['lanes']), there['lanes'])

    @PAGES_ON_DEMAND
    def test_raw_on_demand(self):
        self.check_raw(there=OnDemand)
        # Everything that was offered; the rest came in messages, or was in too many places for one grant.
        written, sent = (sum(lane[key] for lane in report['lanes'])
                         for key, report in (('written', self.there), ('bytes', self.sender.report)))
        self.assertGreater(written, 0.75 * sent)

    def check_raw(self, **options):
        self.begin('compress=off&streams=3', to=RAILS, **options)
        self.there = there = self.complete()
        self.assertEqual([lane['port']['device'] for lane in self.sender.report['lanes']], ['rxe0', 'rxe1', 'rxe0'])
        self.assertEqual(there['placement'], 'direct-mapped')
        zero = hashlib.sha1(bytes(4096)).digest()
        full = sum(page != zero for page in self.here) * 4096
        self.assertLessEqual(self.resident, 1.05 * full)
        self.assertLess(full, RAM['ram_kib'] << 9)  # half of it; otherwise the next check would mean nothing

    def test_mixed(self):
        """The receiver lacks one of the devices: its lane uses TCP."""
        self.far.run('rdma', 'link', 'delete', 'rxe1')
        self.addCleanup(self.far.run, 'rdma', 'link', 'add', 'rxe1', 'type', 'rxe', 'netdev', 'eth1')
        self.begin('compress=off&streams=3', scheme='wherry', to=RAILS)
        there = self.complete('mixed')
        for report in self.sender.report, there:
            self.assertEqual([lane['transport'] for lane in report['lanes']], ['rdma', 'tcp', 'rdma'])
            says(self, report['lanes'][1]['no_rdma'], 'at the receiver', 'provider verbs')

    def test_idle_lane_dies(self):
        """RDMA packets stop arriving on one card while nothing is sent. The lane is lost before it is needed, although TCP
        still works."""
        self.far.receive()
        self.sender = self.enterContext(self.send('resume=3s&streams=2', to=RAILS))
        self.sender.wait_for_socket(30)
        self.far.run('tc', 'qdisc', 'add', 'dev', 'eth1', 'ingress')
        with contextlib.ExitStack() as blocked:
            blocked.callback(self.far.run, 'tc', 'qdisc', 'del', 'dev', 'eth1', 'ingress')
            self.far.run('tc', 'filter', 'add', 'dev', 'eth1', 'ingress', 'protocol', 'ip', 'u32',
                         'match', 'ip', 'dport', '4791', '0xffff', 'action', 'drop')
            wait_until(lambda: 'lane lost: number=1' in self.sender.stderr, 30, 'lost lane', SELDOM)
        self.src.execute('migrate', uri=f"unix:{self.src.path('out')}")
        self.complete()
        # The end that noticed first gives the cause; the other end was told.
        self.assertRegex(self.sender.stderr + self.receiver_said, 'lane lost: .*nothing got through for 3 seconds')
        self.assertEqual([lane['lost'] for lane in self.sender.report['lanes']], [False, True])

    @contextlib.contextmanager
    def lossy(self, percent):
        """The wire loses this share of the packets in each direction."""
        for run_there in (run, self.far.run):
            run_there('tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'netem', 'loss', f'{percent}%')
        try:
            yield
        finally:
            for run_there in (run, self.far.run):
                run_there('tc', 'qdisc', 'del', 'dev', 'eth0', 'root')

    def test_loss(self):
        with self.lossy(1):
            self.begin('')
            self.complete()

    def test_link_comes_back(self):
        self.hold('resume=30s')
        with self.lossy(100):
            time.sleep(5)
        self.src.execute('migrate-set-parameters', downtime_limit=1000)
        self.complete()

    def test_link_does_not_come_back(self):
        self.hold('resume=2s')
        with self.lossy(100):
            self.check_lost_link(2, 30)

    def test_receiver_killed(self):
        self.hold('')
        self.far.kill_receiver()
        self.check_goes_on(5)
        self.assertEqual(self.sender.wait(10), 1)
        self.assertRegex(self.sender.stderr, 'reset|closed|went away')

    def test_registration_refused(self):
        says = 'cannot lock .* bytes of memory: raise the limit'
        for host, there in ((Limited, None), (None, Limited)):
            with self.subTest(here=host, there=there):
                self.far.receive(there)
                with self.send(scheme='wherry+rdma', host=host) as sender:
                    self.assertEqual(sender.wait(30), 1)
                    self.assertRegex(sender.stderr, says)
                with self.send(scheme='wherry', host=host) as sender:
                    sender.wait_for_socket(30)
                    self.assertRegex(sender.stderr, f'transport: tcp .*{says}')

    @PAGES_ON_DEMAND
    def test_device_that_misplaces(self):
        """With on-demand paging, soft-RoCE accesses the beginning of a page instead of the right offset in it. That breaks
        reads at the source, whose pages are at any offset in QEMU's stream, and writes of packets shorter than a page. No page
        of a guest may be sent that way."""
        says = 'at the receiver, the sample came damaged'
        for here, there, mtu in ((OnDemand, None, 9000), (None, OnDemand, 1500)):
            with self.subTest(here=here, there=there, mtu=mtu), self.mtu(mtu):
                self.far.receive(there)
                with self.send(host=here) as sender:
                    self.assertEqual(sender.wait(30), 1)
                    self.assertIn(says, sender.stderr)
                self.sender = self.enterContext(self.send(scheme='wherry', host=here))
                self.sender.wait_for_socket(30)
                self.assertRegex(self.sender.stderr, f'transport: tcp .*{says}')
                self.src.execute('migrate', uri=f"unix:{self.src.path('out')}")
                for report in self.complete('tcp'), self.sender.report:
                    self.assertEqual({lane['no_rdma'] for lane in report['lanes']}, {says})

    @contextlib.contextmanager
    def mtu(self, size):
        for run_there in (run, self.far.run):
            run_there('ip', 'link', 'set', 'eth0', 'mtu', str(size))
        try:
            yield
        finally:
            for run_there in (run, self.far.run):
                run_there('ip', 'link', 'set', 'eth0', 'mtu', '9000')


class BesideQemu(Source):
    def setUp(self):
        self.src.configure_migration(downtime_limit=int(os.environ['DOWNTIME_MS']))

    def test_totals(self):
        """Migrations of the same guest over Wherry and over QEMU's own transports, in turn; prints a line of JSON for each."""
        for _ in range(int(os.environ['ROUNDS'])):
            self.set_return_path(True)
            for keys in '', 'compress=off', 'compress=off&streams=4':
                self.begin(keys)
                self.complete()
                self.say(f'wherry+rdma {keys}')
            self.set_return_path(False)  # QEMU 7.2's rdma fails with it
            for transport in 'rdma', 'tcp':
                uri = f'{transport}:{PEER}:4444'
                self.far.listen(uri)
                self.src.execute('migrate', uri=uri)
                self.src.wait_migrated(90, SELDOM)
                self.check_moved()
                self.say(f'qemu {transport}')

    def set_return_path(self, state):
        self.src.execute('migrate-set-capabilities', capabilities=[{'capability': 'return-path', 'state': state}])

    def say(self, way):
        def figures():  # of the source's QEMU; they may come a moment after its status
            told = self.src.execute('query-migrate')
            return 'downtime' in told and {'way': way, 'total_ms': told['total-time'], 'downtime_ms': told['downtime']}
        print(json.dumps(wait_until(figures, 10, 'figures')), flush=True)


class DeadLink(Source):
    def test_card_goes_down(self):
        """The kernel takes almost a minute to release an endpoint whose packets get no answer. The processes live that long,
        and no longer with several lanes. Soft-RoCE's connection manager does not survive it, so the VMs are unusable
        afterwards."""
        self.hold('resume=5s')
        self.far.run('ip', 'link', 'set', 'eth0', 'down')
        self.check_lost_link(5, 90)


def main():
    if NODE == 1:
        return serve()
    try:
        unittest.main(argv=[sys.argv[0], *(sys.argv[2:] or ['Migrations'])], verbosity=2)
    finally:
        put(f'{next(Far._count)}.order', ('end', ()))


if __name__ == '__main__':
    main()
