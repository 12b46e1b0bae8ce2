"""Whoever reaches wherryd's port: who may do what there, and each bound of docs/limits.md, which is gone over once. What is over
it is refused with a sentence, and others go on."""
import contextlib
import glob
import json
import os
import re
import selectors
import socket
import struct
import subprocess
import threading
import time
import unittest

from lab import ENDED, Guest, says, scratch, spawn, wait_until, wherry_binary
from lab.caller import announcement, ask, call, heard, hello, lane_hello, service
from lab.process import end

# Addresses of loopback, each of which is another host to wherryd.
HERE, GUESTS, LIBVIRT, STRANGER = (f'127.0.0.{n}' for n in (1, 2, 3, 4))


def rpc(procedure, program=0x20008086, payload=b''):
    """A call of libvirt's RPC."""
    return struct.pack('>7I', 28 + len(payload), program, 1, procedure, 0, 1, 0) + payload


def status(directory):
    """The answer of wherryd's errand socket, and how long it took."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as errand:
        errand.connect(f'{directory}/wherryd.sock')
        errand.sendall(b'{"command": "status"}\n')
        answer = errand.makefile().readline()
    return json.loads(answer), time.monotonic() - began


def bound(name):
    """From docs/limits.md."""
    page = os.path.join(os.path.dirname(__file__), '../../docs/limits.md')
    with open(page, encoding='utf-8') as lines:
        [value] = re.findall(rf'^\| {name} \| (\d+) ', lines.read(), re.MULTILINE)
    return int(value)


class FakeLibvirt:
    """Takes connections at a unix socket, and keeps what it is told."""

    def __init__(self):
        self.path = os.path.join(scratch(), 'libvirt-sock')
        self.told = b''
        self._kept = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen(1024)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._kept.append(connection)
                threading.Thread(target=self._hear, args=(connection,), daemon=True).start()

    def _hear(self, connection):
        with contextlib.suppress(OSError):
            while more := connection.recv(65536):
                self.told += more
        connection.close()

    def close(self):
        for each in (self._socket, *self._kept):
            each.close()


class Strangers(unittest.TestCase):
    """A wherryd with two peers: one whose guests may come, and one that may use libvirt too."""

    def setUp(self):
        with socket.create_server((HERE, 0)) as free:
            self.port = free.getsockname()[1]
        self.libvirt = FakeLibvirt()
        self.addCleanup(self.libvirt.close)
        self.directory = os.path.join(scratch(), 'run')
        self.log = os.path.join(scratch(), 'log')
        with open(self.log, 'wb') as log:
            self.daemon = spawn([wherry_binary('wherryd'), '--listen', f'wherry://{HERE}:{self.port}', '--runtime-dir',
                                 self.directory, '--peer', f'guests={GUESTS}:1', '--peer', f'libvirt={LIBVIRT}:1,libvirt=manage',
                                 '--libvirt', f'qemu+unix:///system?socket={self.libvirt.path}'], stdout=log, stderr=log)
        self.addCleanup(end, self.daemon)
        wait_until(lambda: 'listening on' in self.said(), 10, 'wherryd')
        self.before = self.holdings()

    def said(self):
        with open(self.log, encoding='utf-8', errors='replace') as log:
            return log.read()

    def holdings(self):
        """What there is of processes, threads and directories."""
        with open(f'/proc/{self.daemon.pid}/task/{self.daemon.pid}/children', encoding='ascii') as children:
            processes = children.read().split()
        return processes, len(os.listdir(f'/proc/{self.daemon.pid}/task')), sorted(glob.glob(f'{self.directory}/*/*'))

    def check_nothing_has_come_of_it(self):
        wait_until(lambda: self.holdings() == self.before, 10, f'{self.before}')  # errands have threads

    def ask(self, frame, source, root=True):
        return ask(self.port, frame, source=source, root=root)

    def check_refused(self, frame, source, *parts, root=True):
        """It is told why, nothing has come of it, and the log has it too."""
        says(self, self.ask(frame, source, root), *parts)
        self.check_nothing_has_come_of_it()
        wait_until(lambda: parts[-1] in self.said(), 10, f'{parts} in the log')

    def status(self):
        return status(self.directory)

    def check_others_go_on(self):
        self.assertIn('manages', self.ask(service('alive'), LIBVIRT, root=False))
        _, took = self.status()
        print(f'{self.id()}: status answered within {took * 1000:.1f} ms')

    # Who may do what

    def test_a_host_that_is_not_a_peer_is_refused_before_it_says_anything(self):
        with call(self.port, source=STRANGER) as stranger:
            says(self, heard(stranger), STRANGER, 'not the address of a peer', '[peers]')
        for frame in (hello('hostb/1'), announcement('hostb/1'), service('libvirt'), service('alive')):
            self.check_refused(frame, STRANGER, STRANGER, 'not the address of a peer')

    def test_this_host_itself_may_only_ask_for_a_sign_of_life(self):
        self.assertIn('manages', self.ask(service('alive'), HERE, root=False))
        self.check_refused(hello('hostb/1'), HERE, 'not the address of a peer')
        self.check_refused(service('libvirt'), HERE, 'not allowed to use this host\'s libvirt')

    def test_what_is_roots_has_to_come_from_a_port_of_root(self):
        for frame, source in ((announcement('hostb/1'), GUESTS), (hello('hostb/1'), GUESTS), (service('libvirt'), LIBVIRT)):
            self.check_refused(frame, source, f'{source} comes from port ', 'below 1024', root=False)

    def test_a_route_that_nobody_has_announced_does_not_begin(self):
        self.check_refused(hello('hostb/1'), GUESTS, 'route hostb/1 is not known here', 'announced')
        self.check_refused(lane_hello('hostb/1'), GUESTS, 'route hostb/1 has no migration here', root=False)

    def test_a_route_that_another_peer_has_announced_does_not_begin(self):
        self.assertNotIn('use', self.ask(announcement('hostb/1'), LIBVIRT))
        self.check_refused(hello('hostb/1'), GUESTS, 'route hostb/1 is not known here')

    def test_an_announcement_alone_makes_nothing(self):
        self.ask(announcement('hostb/1'), GUESTS)
        self.check_nothing_has_come_of_it()
        self.check_refused(announcement('hostb/1'), GUESTS, 'route hostb/1 is in use')
        self.check_refused(announcement('libvirt/1'), GUESTS, 'this host is not libvirt')
        self.check_refused(announcement('../1'), GUESTS, 'is not a route')

    def test_an_announced_route_begins_and_is_that_peers_alone(self):
        self.ask(announcement('hostb/1'), GUESTS)
        with call(self.port, source=GUESTS, root=True) as source:
            source.sendall(hello('hostb/1'))
            self.assertIn(b'token', source.recv(4096))
            says(self, self.ask(lane_hello('hostb/1'), LIBVIRT), 'another host\'s')
            says(self, self.ask(hello('hostb/1'), LIBVIRT), 'another host\'s')
            answer, _ = self.status()
            [arrival] = answer['arrivals']
            self.assertEqual((arrival['route'], arrival['peer'].split(':')[0]), ('hostb/1', GUESTS))
            os.kill(arrival['process'], 9)
        wait_until(lambda: self.holdings()[0] == [], 10, 'end of the migration')

    def test_libvirt_is_for_those_that_may_manage_it(self):
        self.check_refused(service('libvirt'), GUESTS, 'not allowed to use this host\'s libvirt', 'libvirt = "manage"')

    def test_only_calls_that_a_migration_needs_pass(self):
        for refused, named in ((rpc(12, payload=bytes(24)), 'procedure 12 '), (rpc(1, program=0x20008087), '0x20008087'),
                               (b'GET / HTTP/1.1\r\n\r\n' * 4, 'not libvirt\'s RPC')):
            with self.subTest(named), call(self.port, source=LIBVIRT, root=True) as client:
                self.libvirt.told = b''
                client.sendall(service('libvirt'))
                self.assertIn(b'read_only', client.recv(4096))
                client.sendall(rpc(1))
                wait_until(lambda: self.libvirt.told == rpc(1), 10, 'the call at libvirt')
                client.sendall(refused)
                heard(client)  # until it is disconnected
                self.assertEqual(self.libvirt.told, rpc(1))
                wait_until(lambda n=named: n in self.said(), 10, 'the reason in the log')
        self.check_others_go_on()

    def test_what_is_not_said_about_a_peer_is_said_when_it_starts(self):
        says(self, self.said(), 'peer guests', 'libvirt = "manage"', '[peers.guests]')
        self.assertNotIn('peer libvirt may not', self.said())

    def test_a_name_is_no_address_of_a_peer(self):
        done = subprocess.run([wherry_binary('wherryd'), '--check', '--listen', f'wherry://{HERE}', '--peer', 'hostb=localhost'],
                              capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 2, done)
        says(self, done.stderr, 'hostb', 'localhost', 'getent ahosts')

    # Bounds

    def test_a_first_frame_that_does_not_come(self):
        with call(self.port, source=GUESTS) as slow:
            slow.sendall(service('alive')[:-1])
            says(self, heard(slow), 'did not send a first frame in time')
        self.check_others_go_on()

    def test_a_first_frame_that_is_too_long(self):
        longest = bound('kFirstFrameBytes')
        self.assertIn('manages', self.ask(service('alive', padding=' ' * (longest - 64)), GUESTS))
        self.check_refused(service('alive', padding=' ' * longest), GUESTS, 'does not begin with this frame')

    def test_connections_that_say_nothing(self):
        for sources, most in (((GUESTS,), bound('kUnheardOfOne')), ((GUESTS, LIBVIRT), bound('kUnheardOfOne'))):
            with self.subTest(sources), contextlib.ExitStack() as crowd:
                first = crowd.enter_context(call(self.port, source=sources[0]))
                for source in sources:
                    for _ in range(most - (source == sources[0])):
                        crowd.enter_context(call(self.port, source=source))
                crowd.enter_context(call(self.port, source=sources[0]))
                says(self, heard(first), f'{most} connections of peer guests', 'the oldest')
                self.check_others_go_on()
                self.check_nothing_has_come_of_it()

    def test_routes_that_are_announced_and_do_not_begin(self):
        most = bound('kAnnouncedOfOne')
        for n in range(most):
            self.assertNotIn('too many', self.ask(announcement(f'hostb/{n}'), GUESTS))
        self.check_refused(announcement('hostb/more'), GUESTS, 'too many routes of guests', str(most))
        self.assertNotIn('too many', self.ask(announcement('hostb/more'), LIBVIRT))
        self.check_others_go_on()

    def test_connections_to_libvirt(self):
        most = bound('kServedOfOne')
        with contextlib.ExitStack() as crowd:
            for _ in range(most):
                client = crowd.enter_context(call(self.port, source=LIBVIRT, root=True))
                client.sendall(service('libvirt'))
                self.assertIn(b'read_only', client.recv(4096))
            says(self, self.ask(service('libvirt'), LIBVIRT), 'too many connections', str(most))
            self.check_others_go_on()
            self.ask(announcement('hostb/1'), GUESTS)
            with call(self.port, source=GUESTS, root=True) as source:
                source.sendall(hello('hostb/1'))
                self.assertIn(b'token', source.recv(4096))
        wait_until(lambda: self.status()[0]['libvirt_connections'] == 0, 10, 'end of the connections')

    def test_migrations_that_arrive(self):
        most = bound('kArrivalsOfOne')
        with contextlib.ExitStack() as crowd:
            def begin(route, peer):
                self.ask(announcement(route), peer)
                source = crowd.enter_context(call(self.port, source=peer, root=True))
                source.sendall(hello(route))
                return source.recv(4096)
            for n in range(most):
                self.assertIn(b'token', begin(f'hostb/{n}', GUESTS))
            self.assertIn(b'too many migrations of guests', begin('hostb/more', GUESTS))
            self.assertIn(b'token', begin('hostb/other', LIBVIRT))
            self.check_others_go_on()
            arrivals = self.status()[0]['arrivals']
            self.assertEqual(len(arrivals), most + 1)
            for arrival in arrivals:
                os.kill(arrival['process'], 9)
        wait_until(lambda: self.holdings()[0] == [], 20, 'end of the migrations')

    def test_refusals_do_not_flood_the_log(self):
        refused = 300
        for _ in range(refused):
            self.ask(hello('hostb/1'), STRANGER, root=False)
        time.sleep(1)
        self.ask(hello('hostb/1'), STRANGER, root=False)
        wait_until(lambda: 'more connections were refused' in self.said(), 10, 'the number of the others')
        self.assertLess(self.said().count('is refused'), refused)


class Crowd(threading.Thread):
    """10,000 connections of strangers, half of which say what they want, and 500 slow ones at any time, which send a byte a
    second: half of them strangers, half of them users of a peer's host. Until stop()."""
    STRANGERS, SECONDS, SLOW = 10_000, 60, 500

    def __init__(self, port, peer):
        super().__init__(daemon=True)
        self._to = (HERE, port)
        self._peer = peer
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._slow = set()
        self.calls = 0
        self.slow_calls = 0

    def _call(self, source, slow):
        caller = socket.socket()
        caller.setblocking(False)
        caller.bind((source, 0))
        caller.connect_ex(self._to)
        self._selector.register(caller, selectors.EVENT_READ, slow)
        if slow:
            self._slow.add(caller)
            self.slow_calls += 1
        return caller

    def _end(self, caller):
        self._selector.unregister(caller)
        self._slow.discard(caller)
        caller.close()

    def _more_strangers(self, elapsed):
        while self.calls < self.STRANGERS * elapsed / self.SECONDS:
            caller = self._call(STRANGER, False)
            self.calls += 1
            if self.calls % 2:
                with contextlib.suppress(OSError):
                    caller.send(hello('hostb/1'))

    def _a_byte_of_each(self):
        first = service('alive')
        for caller in list(self._slow):
            with contextlib.suppress(OSError):
                caller.send(first[:1])
        for n in range(self.SLOW - len(self._slow)):
            self._call(self._peer if n % 2 else STRANGER, True)

    def run(self):
        began = ticked = time.monotonic()
        self._a_byte_of_each()
        while not self._over.is_set():
            for key, _ in self._selector.select(0.01):
                with contextlib.suppress(BlockingIOError):
                    try:
                        ended = not key.fileobj.recv(4096)
                    except ConnectionError:
                        ended = True
                    if ended:
                        self._end(key.fileobj)
            now = time.monotonic()
            self._more_strangers(min(now - began, self.SECONDS))
            if now - ticked >= 1:
                ticked = now
                self._a_byte_of_each()

    def stop(self):
        self._over.set()
        self.join()
        for key in list(self._selector.get_map().values()):
            self._end(key.fileobj)


@unittest.skipUnless(os.environ.get('WHERRY_EVERY_LIMIT'), 'takes minutes: scripts/test --all')
class FourMigrationsInACrowd(unittest.TestCase):
    def daemon(self, port, peer, peer_port):
        directory = os.path.join(scratch(), 'run')
        log = os.path.join(scratch(), 'log')
        with open(log, 'wb') as said:
            process = spawn([wherry_binary('wherryd'), '--listen', f'wherry://{HERE}:{port}', '--runtime-dir', directory,
                             '--peer', f'{peer}={HERE}:{peer_port}'], stdout=said, stderr=said)
        self.addCleanup(end, process)
        wait_until(lambda: os.path.exists(f'{directory}/wherryd.sock'), 10, 'wherryd')
        return process, directory

    @staticmethod
    def processor_time(pid):
        with open(f'/proc/{pid}/stat', encoding='ascii') as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    @staticmethod
    def memory(pid, which):
        with open(f'/proc/{pid}/status', encoding='ascii') as status:
            return int(re.search(rf'^{which}:\s+(\d+) kB', status.read(), re.MULTILINE)[1]) / 1024

    @staticmethod
    def wherry(*arguments):
        return subprocess.run([wherry_binary(), *arguments], capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    def begin(self, by, to):
        """A migration that goes on until its bandwidth is set."""
        out = self.wherry('route', 'wherry://hostb?streams=2&compress=off&bandwidth=2Mbps', '--runtime-dir', by)
        out = out.removeprefix('unix://')
        guests = [self.enterContext(Guest('10.0', incoming=incoming, ram_kib=24584, append='pages=1024 rate=300 verify=2000'))
                  for incoming in (False, True)]
        for guest in guests:
            guest.configure_migration(0, downtime_limit=300)
        source, destination = guests
        source.wait_ready()
        destination.execute('migrate-incoming', uri=f'unix:{to}{out.removeprefix(by)}')
        source.execute('migrate', uri=f'unix:{out}')
        return source, out

    def test_they_complete_and_the_door_takes_little(self):
        ports = []
        with contextlib.ExitStack() as free:
            for _ in range(2):
                ports.append(free.enter_context(socket.create_server((HERE, 0))).getsockname()[1])
        there, to = self.daemon(ports[1], 'hosta', ports[0])
        _, by = self.daemon(ports[0], 'hostb', ports[1])
        memory, used, began = self.memory(there.pid, 'VmRSS'), self.processor_time(there.pid), time.monotonic()
        crowd = Crowd(ports[1], HERE)
        crowd.start()
        self.addCleanup(crowd.stop)
        migrating = [self.begin(by, to) for _ in range(4)]
        slowest = 0
        while time.monotonic() < began + crowd.SECONDS:
            slowest = max(slowest, status(to)[1])
            time.sleep(0.1)
        states = [source.execute('query-migrate')['status'] for source, _ in migrating]
        took = time.monotonic() - began
        share = (self.processor_time(there.pid) - used) / took
        more = self.memory(there.pid, 'VmHWM') - memory
        crowd.stop()
        print(f'{crowd.calls} strangers and {crowd.slow_calls} slow calls in {took:.0f} s: door {share:.1%} of a core, resident '
              f'memory {more:+.1f} MiB, slowest status {slowest * 1000:.0f} ms, migrations {states}')
        self.assertEqual(states, ['active'] * 4)
        for _, out in migrating:
            self.wherry('set', out, 'bandwidth=off', '--runtime-dir', by)
        for source, _ in migrating:
            wait_until(lambda s=source: s.execute('query-migrate')['status'] in ENDED, 60, 'end of the migration')
            self.assertEqual(source.execute('query-migrate')['status'], 'completed')
        self.assertGreaterEqual(crowd.calls, crowd.STRANGERS)
        self.assertLess(share, 0.1)
        self.assertLessEqual(more, 32)


if __name__ == '__main__':
    unittest.main()
