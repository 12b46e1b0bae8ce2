"""Every way a migration can end: success, cancellation, and each failure at each moment.

After a failure, the source's QEMU has promptly left the migration and its guest runs on unharmed (unless that QEMU was
killed). The destination's guest, which would start by itself, has not run. Both wherries have exited with the documented
status and a message that names the cause. No socket and no process is left.

The link is slow, and the guest rewrites all of its memory faster than it can be sent, with incompressible data, so that a
migration stays in each of its phases for about a second.
"""
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import threading
import unittest

from lab import PAGES, Guest, Link, Pair, QmpError, Wherry, scratch, wait_until
from lab.process import end, spawn

SLOW, FAST = '80mbit', '10gbit'
REWRITES = {'append': f'pages={PAGES} rate=8000 bytes=4096 mix=random:90,flip:10 verify=20000'}
COMBINATIONS = {'single_relay': (0, 'relay'), 'multifd_direct': (4, 'direct'),
                'single_direct': (0, 'direct'), 'multifd_relay': (4, 'relay')}
MOMENTS = ('before', 'first_pass', 'middle', 'switchover')
VICTIMS = {  # victim: what the wherry at the source says, and the one at the destination
    'send': (None, r'went away|closed it|source gave up|reset|Broken pipe'),
    'receive': (r'went away|destination gave up|reset|Broken pipe', None),
    'source': (r"source's QEMU", r"source's QEMU"),
    'destination': (r"destination's QEMU|QEMU's monitor|process \d+",) * 2,
}


def reach(pair, moment):
    """Brings a migration that has not started to that moment."""
    if moment == 'before':
        return
    pair.migrate()
    pair.hold(passes=3 if moment == 'middle' else 1)
    if moment == 'switchover':
        pair.src.execute('migrate-set-parameters', downtime_limit=20000)
        pair.src.qmp.wait_event('STOP', 10)


class End(unittest.TestCase):
    """Shared by the tests below."""

    def pair(self, combination, **options):
        multifd, placement = COMBINATIONS[combination]
        source = {**REWRITES, **options.pop('source', {})}
        destination = {'autostart': True, **options.pop('destination', {})}
        return Pair(**{'rate': SLOW, 'multifd': multifd, 'placement': placement, 'source': source,
                       'destination': destination, **options})

    def check_exit(self, wherry, code, says, within=5):
        self.assertEqual(wherry.wait(within), code)
        self.assertRegex(wherry.stderr, says)

    def check_failed(self, pair, sender_says=None, receiver_says=None, within=5, interrupted=None):
        """Checks what must hold after a failure. A killed wherry prints nothing; an interrupted one exits with 130."""
        for wherry, says in ((pair.sender, sender_says), (pair.receiver, receiver_says)):
            if says:
                code, status = (130, 'cancelled') if wherry is interrupted else (1, 'failed')
                self.check_exit(wherry, code, says, within)
                self.assertEqual(wherry.report['status'], status)
                self.assertRegex(wherry.report['error'], says)
        if pair.src.process.poll() is None:
            pair.check_source_goes_on(within)
        self.check_nothing_left(pair, socket=sender_says is None)

    def check_nothing_left(self, pair, socket=False):
        """`socket`: wherry send was killed, so its socket is left; the next wherry send takes it over."""
        wait_until(lambda: pair.processes() <= {pair.src.process.pid, pair.dst.process.pid}, 5, 'end of all processes')
        if not socket:
            self.assertFalse(os.path.exists(pair.src.path('out')), 'the socket that wherry send made is left behind')
        self.check_destination_never_ran(pair)

    def check_destination_never_ran(self, pair):
        pair.dst.qmp.take_in()
        self.assertIsNone(pair.dst.qmp.find_event('RESUME'))
        self.assertEqual(pair.dst.console(), [])


class Killed(End):
    """kill -9 of each of the four processes."""

    def check(self, victim, moment, combination, version='10.0'):
        with self.pair(combination, version=version) as pair:
            killed = {'send': pair.sender, 'receive': pair.receiver,
                      'source': pair.src, 'destination': pair.dst}[victim]
            reach(pair, moment)
            killed.process.kill()
            killed.process.wait()
            sender_says, receiver_says = VICTIMS[victim]
            interrupted = None
            if moment == 'before':
                if victim == 'source':  # wherry send cannot know that its QEMU will never connect
                    interrupted = pair.sender
                    interrupted.process.send_signal(signal.SIGINT)
                    sender_says, receiver_says = 'interrupted', 'interrupted'
                elif victim == 'destination':
                    pair.migrate()
                else:
                    survivor = pair.receiver if victim == 'send' else pair.sender
                    survivor.wait(5)
                    with contextlib.suppress(QmpError):
                        pair.migrate()
            # If multifd channels end one after the other, QEMU's loader can wait for ever, with or without Wherry.
            if moment != 'before' and (victim == 'source' or (victim != 'destination' and not pair.multifd)):
                wait_until(lambda: pair.dst.process.poll() is not None, 5, 'end of the destination QEMU')
            self.check_failed(pair, sender_says, receiver_says, interrupted=interrupted)


def add_killed(victim, moment, combination, version='10.0'):
    name = f"test_{victim}_{moment}_{combination}_{version.replace('.', '_')}"
    setattr(Killed, name, lambda self: self.check(victim, moment, combination, version))


for victim in VICTIMS:
    for moment in MOMENTS:
        for combination in ('single_relay', 'multifd_direct')[moment == 'first_pass':]:
            add_killed(victim, moment, combination)
    for combination in ('single_direct', 'multifd_relay'):
        add_killed(victim, 'switchover', combination)
    for version in ('7.2', '11.1'):
        add_killed(victim, 'middle', 'multifd_relay', version)


class Interrupted(End):
    def check(self, which, moment, combination):
        with self.pair(combination) as pair:
            reach(pair, moment)
            interrupted = {'send': pair.sender, 'receive': pair.receiver}[which]
            interrupted.process.send_signal(signal.SIGINT)
            interrupted.wait(2)
            self.check_failed(pair, 'interrupted by SIGINT', 'interrupted by SIGINT', interrupted=interrupted)


for which in ('send', 'receive'):
    for moment, combination in (('middle', 'single_relay'), ('switchover', 'multifd_direct')):
        setattr(Interrupted, f'test_{which}_{moment}_{combination}',
                lambda self, w=which, m=moment, c=combination: self.check(w, m, c))


class Cancelled(End):
    """migrate_cancel, and after it a second migration of the same guest to a fresh destination."""

    def check(self, moment, combination):
        with self.pair(combination) as pair:
            reach(pair, moment)
            pair.src.execute('migrate_cancel')
            self.check_failed(pair, "source's QEMU", "source's QEMU")
            pair.renew_destination()
            pair.start_wherries()
            self.migrate(pair)

    def test_both_ends_say_so_where_one_can_ask(self):
        with self.pair('single_relay', version='11.1', sender_qmp=True) as pair:
            reach(pair, 'first_pass')
            pair.src.execute('migrate_cancel')
            for wherry in pair.sender, pair.receiver:
                self.check_exit(wherry, 1, "source's QEMU")
                self.assertEqual(wherry.report['status'], 'cancelled')

    def check_setup(self, combination):
        with self.pair(combination) as pair:
            pair.migrate()
            pair.src.execute('migrate_cancel')
            try:
                pair.check_source_goes_on()
            except TimeoutError:
                # A QEMU that is cancelled while it connects its multifd channels can stay in that state for ever, without
                # Wherry as well (10.0: in 1 of 9 tries on a busy machine). Its guest must still run.
                if not pair.multifd:
                    raise
                return pair.check_source_goes_on(statuses=('cancelling',))
            # If QEMU had sent nothing yet, Wherry waits for it to connect again. Otherwise Wherry ends in time.
            try:
                return self.migrate(pair)
            except RuntimeError as error:
                self.assertRegex(str(error), 'refused|No such file')
            self.check_failed(pair, "source's QEMU", "source's QEMU")
            pair.renew_destination()
            pair.start_wherries()
            self.migrate(pair)

    def migrate(self, pair):
        pair.link.set_rate('a', FAST)
        wait_until(lambda: self.accepted(pair), 5, 'QEMU that is done with the cancelled migration')
        pair.src.wait_migrated(30)
        self.assertEqual((pair.sender.wait(5), pair.receiver.wait(5)), (0, 0))
        pair.dst.wait_verified(4096)
        self.assertEqual(pair.src.bad() + pair.dst.bad(), [])

    def accepted(self, pair):
        """QEMU reports `cancelled` before it has closed the sockets that were connecting."""
        try:
            pair.migrate()
        except QmpError as error:
            self.assertRegex(str(error), 'yank')
            return False
        return True


for combination in COMBINATIONS:
    setattr(Cancelled, f'test_setup_{combination}', lambda self, c=combination: self.check_setup(c))
for moment in ('first_pass', 'middle'):
    for combination in ('single_relay', 'multifd_direct'):
        setattr(Cancelled, f'test_{moment}_{combination}', lambda self, m=moment, c=combination: self.check(m, c))


class DestinationCannotLoad(End):
    def check(self, combination, **options):
        with self.pair(combination, rate=None, **options) as pair:
            try:
                pair.migrate()
            finally:
                self.check_failed(pair, "destination's QEMU|placement=direct", "destination's QEMU|placement=direct")


for combination in ('single_relay', 'multifd_direct'):
    for name, options in (('other_machine', {'destination': {'machine': 'q35'}}),
                          ('other_ram_size', {'destination': {'ram_kib': 65544}}),
                          ('missing_device', {'source': {'extra': ('-device', 'virtio-rng-pci')}})):
        setattr(DestinationCannotLoad, f'test_{name}_{combination}',
                lambda self, c=combination, o=options: self.check(c, **o))


class LinkCut(End):
    """The cable is pulled, for longer than resume=2s."""

    def check(self, moment, combination):
        with self.pair(combination, keys='streams=2&resume=2s') as pair:
            reach(pair, moment)
            pair.link.cut()
            says = 'timed out|unreachable|No route|reset|went away|Broken pipe'  # the kernel's words
            self.check_failed(pair, says, says, within=8)


for moment in ('middle', 'switchover'):
    for combination in ('single_relay', 'multifd_direct'):
        setattr(LinkCut, f'test_{moment}_{combination}', lambda self, m=moment, c=combination: self.check(m, c))


class LaneDies(End):
    """Lanes are reset one by one during the migration of a running guest, until one is left."""

    def check(self, moment, combination, side, lanes=1):
        with self.pair(combination, keys='streams=3&verify=on') as pair:
            reach(pair, moment)
            for lost in range(lanes):
                pair.link.reset_busiest(side)
                for wherry in (pair.sender, pair.receiver):
                    wait_until(lambda: wherry.stderr.count('lane lost: number=') == lost + 1, 5, 'word of the lost lane')
            pair.link.set_rate('a', FAST)
            pair.src.wait_migrated(30)
            self.assertEqual((pair.sender.wait(5), pair.receiver.wait(5)), (0, 0))
            self.assertEqual(sorted(lane['lost'] for lane in pair.sender.report['lanes']),
                             [False] * (3 - lanes) + [True] * lanes)
            pair.dst.wait_verified(4096)
            self.assertEqual(pair.src.bad() + pair.dst.bad(), [])


for moment, combination, side, lanes in (('first_pass', 'single_relay', 'a', 1), ('middle', 'multifd_direct', 'a', 2),
                                         ('middle', 'single_direct', 'b', 2), ('switchover', 'multifd_relay', 'b', 1),
                                         ('switchover', 'single_direct', 'a', 1)):
    setattr(LaneDies, f'test_{lanes}_at_{side}_{moment}_{combination}',
            lambda self, m=moment, c=combination, s=side, n=lanes: self.check(m, c, s, n))


class Busy(End):
    def test_second_sender_is_refused_and_the_first_unharmed(self):
        with self.pair('multifd_direct') as pair:
            reach(pair, 'first_pass')
            first, receiver = pair.sender, pair.receiver
            second_socket = pair.src.path('second')
            with Wherry.send(second_socket, f"wherry://{pair.link.address('b')}", netns=pair.link.netns('a')) as second:
                self.check_exit(second, 1, 'busy with another migration')
                self.assertFalse(os.path.exists(second_socket))
            pair.link.set_rate('a', FAST)
            pair.src.wait_migrated(30)
            self.assertEqual((first.wait(5), receiver.wait(5)), (0, 0))
            pair.dst.wait_verified(4096)
            self.assertEqual(pair.src.bad() + pair.dst.bad(), [])


class NotThere(End):
    def test_no_receiver(self):
        with Link() as link:
            path = os.path.join(scratch(), 'out')
            with Wherry.send(path, f"wherry://{link.address('b')}", netns=link.netns('a')) as sender:
                self.check_exit(sender, 1, r'10\.98\.0\.2:16520.*refused.*wherry receive')
                self.assertFalse(os.path.exists(path))
                self.assertEqual(sender.report['status'], 'failed')

    def test_one_that_takes_the_connection_and_says_nothing(self):
        with socket.create_server(('127.0.0.1', 0)) as silent:
            address = f'127.0.0.1:{silent.getsockname()[1]}'
            with Wherry.send(os.path.join(scratch(), 'out'), f'wherry://{address}') as sender:
                self.check_exit(sender, 1, rf'{address} .*no answer within 10 s .*is it a Wherry that listens there', 30)

    def check_nothing_left_the_source(self, pair, says):
        """No page is sent. The link is slow, so a guest that is sent nevertheless would be noticed."""
        pair.migrate()
        self.check_failed(pair, says, says)
        self.assertEqual(pair.sender.report['guest_bytes'], 0)

    def test_destination_qemu_without_migrate_incoming(self):
        for combination in ('single_relay', 'multifd_direct'):
            with self.subTest(combination), self.pair(combination, incoming=False) as pair:
                self.check_nothing_left_the_source(pair, r"destination's QEMU.*/in.*migrate-incoming")

    def test_placement_that_cannot_be(self):
        with self.pair('single_direct', qmp=False) as pair:
            self.check_nothing_left_the_source(pair, 'placement=direct is impossible')

    def test_report_that_cannot_be_written(self):
        for path in ('/dev/full', '/nonexistent/report'):
            with self.subTest(path):
                for wherry in (Wherry.receive('wherry://127.0.0.1', '/nonexistent/qemu', report=path),
                               Wherry.send('/nonexistent/qemu', 'wherry://127.0.0.1', report=path)):
                    with wherry:
                        self.check_exit(wherry, 1, f'cannot write the report to {path}')

    def test_interrupt_before_anyone_comes(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Link() as link, Wherry.receive(f"wherry://{link.address('b')}", '/nonexistent/qemu',
                                                netns=link.netns('b')) as receiver:
                receiver.wait_listening()
                receiver.process.send_signal(number)
                self.check_exit(receiver, 128 + number, f'interrupted by {number.name}')

    def test_socket_path_in_use(self):
        with self.pair('single_relay') as pair:
            address = f"wherry://{pair.link.address('b')}"
            with Wherry.send(pair.src.path('test.qmp'), address, netns=pair.link.netns('a')) as other:
                self.check_exit(other, 1, 'in use|busy')
            pair.src.status()


class DisksAreTaken(End):
    """The source's QEMU is cancelled when the destination's has the guest and its disks, and the source's does not know."""

    def test_a_source_that_stays_stopped_is_told_of(self):
        disk = os.path.join(scratch(), 'disk')
        with open(disk, 'wb') as file:
            file.truncate(1 << 20)
        drive = ('-drive', f'file={disk},format=raw,if=none,id=disk,file.locking=on', '-device', 'virtio-blk-pci,drive=disk')
        idle = {'append': 'pages=64 rate=10 verify=64'}  # the rest after its stop is sent without waiting for an answer
        with Pair('11.1', keys='streams=2', sender_qmp=True, source={**idle, 'extra': drive},
                  destination={'extra': drive, 'autostart': True}) as pair:
            source = pair.src.execute

            def switch(**capabilities):
                source('migrate-set-capabilities',
                       capabilities=[{'capability': name.replace('_', '-'), 'state': on} for name, on in capabilities.items()])
            switch(pause_before_switchover=True)
            pair.migrate()
            wait_until(lambda: source('query-migrate').get('status') == 'pre-switchover', 20, 'switchover')
            pair.link.lose('b')
            source('migrate-continue', state='pre-switchover')
            wait_until(lambda: pair.dst.status() == 'running', 10, 'guest at the destination')
            source('migrate_cancel')
            wait_until(lambda: source('query-migrate')['status'] == 'cancelled', 10, 'cancelled migration')
            pair.link.lose('b', False)
            self.assertEqual((pair.sender.wait(30), pair.src.status()), (3, 'finish-migrate'), pair.sender.stderr)
            self.assertEqual(pair.sender.report['status'], 'unknown')
            for said in (pair.sender.stderr, pair.sender.report['error']):
                self.assertRegex(said, r'stopped \(finish-migrate\).*locks.*EXIT STATUS')

            # The recovery that the manual gives, for a guest that never ran at the destination.
            pair.dst.close()
            switch(return_path=False, pause_before_switchover=False)
            source('human-monitor-command', command_line='migrate "exec:cat >/dev/null"')
            wait_until(lambda: pair.src.status() == 'postmigrate', 20, 'guest that nobody took')
            pair.src.cont()
            self.assertEqual(pair.src.status(), 'running')


class DisksFirst(End):
    """Connections to the socket for disks before the guest's migration, as of a script that copies the disks first."""

    def test_the_guest_comes_when_its_disk_is_copied(self):
        directory = scratch()
        image, copy, out, into = (os.path.join(directory, name) for name in ('image', 'copy', 'out', 'in'))
        with open(image, 'wb') as disk, open(copy, 'wb') as zeros:
            disk.write(secrets.token_bytes(1 << 20))
            zeros.truncate(1 << 20)
        with self.pair('multifd_direct', wherries=False, rate=None, destination={'autostart': False}) as pair:
            pair.start_wherries(disks=(out, into))
            at_out = f'nbd+unix:///?socket={out}'

            def qemu_img(*arguments):
                return subprocess.run(['qemu-img', *arguments], capture_output=True).returncode
            self.assertEqual(qemu_img('info', at_out), 1, 'nobody serves the copy yet')
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
                probe.connect(out)
            server = spawn(['qemu-nbd', '--persistent', '--shared=4', '--format=raw', f'--socket={into}', copy])
            try:
                wait_until(lambda: os.path.exists(into), 10, 'server of the copy')
                self.assertEqual(qemu_img('info', at_out), 0)
                self.assertEqual(qemu_img('convert', '-n', '-f', 'raw', '-O', 'raw', image, at_out), 0)
                with open(image, 'rb') as disk, open(copy, 'rb') as copied:
                    self.assertEqual(disk.read(), copied.read())
                pair.migrate()
                sender, _ = pair.complete()
            finally:
                end(server)
            self.assertGreaterEqual(sender['disk_bytes'], 1 << 20)


class WrongMonitor(End):
    """The receiver is given the monitor of another guest, whose memory must not change."""

    def test_of_a_running_guest(self):
        with self.pair('single_direct', wherries=False, rate=None, destination={'autostart': False}) as pair:
            pair.placement = 'auto'
            pair.start_wherries(monitor=pair.src.qmp_path)
            pair.migrate()
            report, _ = pair.complete()
            self.assertEqual(report['placement'], 'relay')
            self.assertRegex(report['placement_reason'], 'does not wait for a migration')

    def test_of_another_that_waits(self):
        with self.pair('multifd_direct', wherries=False) as pair, \
                Guest('10.0', incoming=True, ram='memfd', ram_kib=pair.dst.ram_kib) as other:
            pair.start_wherries(monitor=other.qmp_path)
            pair.migrate()
            self.check_failed(pair, *[r'process \d+ .*/in.*--qmp.* process \d+'] * 2)


class FirstBytes(End):
    """The stream's header is sent ahead. The destination's QEMU is dialled only once the header is there, and nothing more is
    read from the source's QEMU until that connection is accepted."""
    HEADER = b'QEVM' + (3).to_bytes(4, 'big')

    @contextlib.contextmanager
    def ends(self, backlog):
        """The listener of the destination's QEMU, and the connection of the source's."""
        directory = scratch()
        paths = [os.path.join(directory, name) for name in ('in', 'out')]
        with Link() as link, socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as source:
            listener.bind(paths[0])
            listener.listen(backlog)
            address = f"wherry://{link.address('b')}"
            with Wherry.receive(address, paths[0], netns=link.netns('b')) as receiver:
                receiver.wait_listening()
                with Wherry.send(paths[1], address, netns=link.netns('a')) as sender:
                    sender.wait_for_socket()
                    source.connect(paths[1])
                    for each in (listener, source):
                        each.settimeout(10)
                    yield listener, source

    def test_nobody_is_dialled_before_they_come(self):
        with self.ends(backlog=1) as (listener, source):
            listener.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                listener.accept()
            source.sendall(self.HEADER)
            listener.settimeout(10)
            with listener.accept()[0] as destination:
                destination.settimeout(10)
                self.assertEqual(destination.recv(100), self.HEADER)

    def test_no_more_is_taken_before_the_dial_was_answered(self):
        with self.ends(backlog=0) as (listener, source), socket.socket(socket.AF_UNIX) as other:
            other.connect(listener.getsockname())  # fills the queue, so that the next connection waits
            stream = self.HEADER + secrets.token_bytes(8 << 20)
            source.settimeout(0.5)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < len(stream):
                    sent += source.send(stream[sent:])
            self.assertLess(sent, 1 << 20, 'more than the kernel holds')
            source.settimeout(10)
            writer = threading.Thread(target=lambda: (source.sendall(stream[sent:]), source.shutdown(socket.SHUT_WR)))
            writer.start()
            listener.accept()[0].close()
            with listener.accept()[0] as destination:
                destination.settimeout(10)
                self.assertEqual(b''.join(iter(lambda: destination.recv(65536), b'')), stream)
            writer.join()


class HalfClose(End):
    """A stream that is not QEMU's. What each side sends before its end arrives, whichever side ends first."""

    def check(self, source_first):
        directory = scratch()
        paths = [os.path.join(directory, name) for name in ('in', 'out')]
        with Link() as link, socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as source:
            listener.bind(paths[0])
            listener.listen()
            address = f"wherry://{link.address('b')}"
            with Wherry.receive(address, paths[0], netns=link.netns('b')) as receiver:
                receiver.wait_listening()
                with Wherry.send(paths[1], address, netns=link.netns('a')) as sender:
                    sender.wait_for_socket()
                    source.connect(paths[1])
                    source.sendall(b'hello')
                    destination, _ = listener.accept()
                    with destination:
                        for end in (source, destination):
                            end.settimeout(10)
                        self.assertEqual(destination.recv(5, socket.MSG_WAITALL), b'hello')
                        first, then = (source, destination) if source_first else (destination, source)
                        for end, other in ((first, then), (then, first)):
                            data = secrets.token_bytes(300_000)
                            writer = threading.Thread(target=lambda: (end.sendall(data), end.shutdown(socket.SHUT_WR)))
                            writer.start()
                            self.assertEqual(b''.join(iter(lambda: other.recv(65536), b'')), data)
                            writer.join()
                    says = 'does not tell.*query-migrate'  # without a monitor, the end is not known
                    self.check_exit(sender, 3, says)
                    self.check_exit(receiver, 3, says)
                    self.assertEqual((sender.report['status'], receiver.report['status']), ('unknown', 'unknown'))

    def test_source_ends_first(self):
        self.check(True)

    def test_destination_ends_first(self):
        self.check(False)


if __name__ == '__main__':
    unittest.main()
