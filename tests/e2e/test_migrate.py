"""`wherry migrate --from QMP --to QMP`: one command for a whole migration between two QEMUs of one host."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import unittest

from lab import VERSIONS, Guest, wait_until, wherry_binary
from lab.process import scratch

GUEST = 'pages=16384 rate=3000 verify=2000'


def capabilities(guest):
    return {each['capability'] for each in guest.execute('query-migrate-capabilities') if each['state']}


def debug(guest):
    """A debugger stops the guest and lets it execute one instruction."""
    path = guest.path('gdb')
    guest.execute('human-monitor-command', command_line=f'gdbserver unix:{path},server=on,wait=off')
    guest.debugger = socket.socket(socket.AF_UNIX)
    guest.debugger.connect(path)
    guest.debugger.sendall(b'+$s#73')
    wait_until(lambda: guest.status() == 'debug', 5, 'guest that was stopped by its debugger')


class Migrating:
    """A migration between two guests of its own, which begins when the context is entered. With a `rate`, at least one page is
    sent before the context's body runs, and the migration is not over yet."""

    def __init__(self, version='10.0', *options, source=lambda _: None, destination=None, capabilities=(), set_there=(),
                 rate=None):
        small = {'ram_kib': 49160, 'append': 'pages=2048 rate=3000 verify=2000'}
        with contextlib.ExitStack() as stack:
            self.src = stack.enter_context(Guest(version, **small))
            self.dst = stack.enter_context(Guest(version, incoming=True, **small, **(destination or {})))
            self.src.wait_ready()
            for guest, names in (self.src, capabilities), (self.dst, set_there):
                guest.execute('migrate-set-capabilities', capabilities=[{'capability': c, 'state': True} for c in names])
            source(self.src)
            self._report = os.path.join(scratch(), 'report')
            self.process = stack.enter_context(subprocess.Popen(
                [wherry_binary(), 'migrate', '--from', f'qmp:{self.src.qmp_path}', '--to', f'qmp:{self.dst.qmp_path}', '--via',
                 f"wherry://127.0.0.1:0?{f'bandwidth={rate}' if rate else ''}", '--report', self._report, *options],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
            stack.callback(self.process.kill)
            if rate:
                wait_until(lambda: self.src.execute('query-migrate').get('ram', {}).get('transferred', 0) > 0, 20,
                           'pages on their way')
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def end(self, code=0):
        """Waits for the end of the migration; returns the report."""
        _, said = self.process.communicate(timeout=30)
        if self.process.returncode != code:
            raise AssertionError(f'wherry migrate ended with {self.process.returncode}: {said}')
        with open(self._report, encoding='utf-8') as file:
            return json.load(file)

    def check_runs(self):
        """The guest runs at the destination and finds every page right."""
        self.dst.wait_console(lambda _: self.dst.ticks(), 10, 'tick of the guest at the destination')
        if bad := self.src.bad() + self.dst.bad():
            raise AssertionError(f'the guest found {bad[:10]}')


class Migrate(unittest.TestCase):
    def migrate(self, src, dst, uri, report, **environment):
        return subprocess.Popen([wherry_binary(), 'migrate', '--from', f'qmp:{src.qmp_path}', '--to', f'qmp:{dst.qmp_path}',
                                 '--via', uri, '--report', report], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **environment})

    def test_the_guest_moves_and_its_downtime_is_accounted_for(self):
        for version in ('7.2', '10.0'):
            with self.subTest(version), Guest(version, append=GUEST) as src, \
                    Guest(version, append=GUEST, incoming=True) as dst:
                src.wait_ready()
                report_path = os.path.join(scratch(), 'report.json')
                with self.migrate(src, dst, 'wherry://127.0.0.1:0?downtime=200ms', report_path) as process:
                    _, said = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 0, said)
                dst.wait_console(lambda _: dst.ticks(), 10, 'tick of the guest at the destination')
                self.assertEqual(src.bad() + dst.bad(), [])
                with open(report_path, encoding='utf-8') as file:
                    report = json.load(file)
                measured = report['downtime']['measured']
                self.assertGreater(measured['pages'], 0)
                self.assertGreater(measured['placed'], 0)
                # The downtime is the sum of its parts, and equals the time between these two events.
                self.assertGreaterEqual(round(measured['total'], 3), round(report['switchover_ms'], 3))
                self.assertEqual(set(report['downtime']['predicted']), set(measured))
                for guest in (src, dst):
                    self.assertEqual('switchover-ack' in capabilities(guest), version != '7.2')

    def test_the_guest_goes_on_as_soon_as_the_source_has_given_it_up(self):
        """Several tries, because other load of this machine can delay any one guest."""
        for version in ('7.2', '10.0'):
            starts = []
            while not starts or min(starts) > 50:
                self.assertLess(len(starts), 10, f'QEMU {version}: guests went on after {starts} ms')
                with Guest(version, append=GUEST) as src, Guest(version, append=GUEST, incoming=True) as dst:
                    src.wait_ready()
                    path = os.path.join(scratch(), 'report')
                    with self.migrate(src, dst, 'wherry://127.0.0.1:0', path) as process:
                        _, said = process.communicate(timeout=60)
                    self.assertEqual(process.returncode, 0, said)
                with open(path, encoding='utf-8') as file:
                    starts.append(json.load(file)['downtime']['measured']['start'])

    def test_a_directory_for_temporary_files_that_is_too_long_for_sockets_or_none(self):
        too_long = os.path.join(scratch(), 'd' * 200)
        os.mkdir(too_long)
        for directory in (too_long, '/nonexistent'):
            with self.subTest(directory), Guest('10.0', append=GUEST) as src, Guest('10.0', append=GUEST, incoming=True) as dst:
                src.wait_ready()
                report = os.path.join(scratch(), 'report')
                with self.migrate(src, dst, 'wherry://127.0.0.1:0', report, TMPDIR=directory) as process:
                    _, said = process.communicate(timeout=60)
                self.assertEqual((process.returncode, os.listdir(too_long)), (0, []), said)
                self.assertEqual(dst.status(), 'running')

    def test_what_was_set_at_the_source_is_set_back(self):
        with Guest('10.0', append=GUEST) as src, Guest('10.0', append=GUEST, incoming=True) as dst:
            src.wait_ready()
            before = capabilities(src), src.execute('query-migrate-parameters')
            with self.migrate(src, dst, 'wherry://127.0.0.1:0?bandwidth=8Mbps', os.path.join(scratch(), 'report')) as process:
                wait_until(lambda: src.execute('query-migrate').get('ram', {}).get('transferred', 0) > 0, 20,
                           'pages on their way')
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 130, said)
            self.assertEqual((capabilities(src), src.execute('query-migrate-parameters')), before)
            ticks = len(src.ticks())
            src.wait_console(lambda _: len(src.ticks()) > ticks, 10, 'tick of the guest that stays')


class GivenUp(unittest.TestCase):
    """At the destination the guest is running or stopped, as it was when the source's QEMU gave it up."""

    def check_stays(self, migrating):
        report = migrating.end()
        self.assertEqual(migrating.dst.status(), 'paused')
        self.assertNotIn('switchover_ms', report)
        self.assertNotIn('measured', report.get('downtime', {}))

    def check_goes_on(self, migrating):
        self.assertIn('switchover_ms', migrating.end())
        migrating.check_runs()

    def test_stopped_meanwhile(self):
        for version in VERSIONS:
            with self.subTest(version), Migrating(version, rate='64Mbps') as migrating:
                migrating.src.stop()
                self.check_stays(migrating)
        with Migrating(rate='64Mbps') as migrating:
            migrating.src.stop()
            migrating.src.cont()
            report = migrating.end()
            migrating.src.status()  # receives the events that have come
            stops = [event['time'] for event in migrating.src.qmp.events if event['event'] == 'STOP']
            self.assertEqual(len(stops), 2)
            self.assertAlmostEqual(report['switchover_ms'] / 1000,
                                   migrating.dst.qmp.wait_event('RESUME')['time'] - stops[1], places=4)

    def test_let_go_on_meanwhile(self):
        for version in VERSIONS:
            with self.subTest(version), Migrating(version, source=Guest.stop, rate='64Mbps') as migrating:
                migrating.src.cont()
                self.check_goes_on(migrating)

    def test_asleep(self):
        for version in VERSIONS:
            with self.subTest(version), Migrating(version, source=Guest.sleep) as migrating:
                migrating.end()
                # QEMU before 9.0 wakes the guest when the migration completes.
                self.assertEqual(migrating.dst.status(), 'running' if version == '7.2' else 'suspended')
                if version != '7.2':
                    migrating.dst.execute('system_wakeup')
                    wait_until(lambda dst=migrating.dst: dst.status() == 'running', 5, 'guest that has woken')

    def test_paused(self):
        for version in VERSIONS:
            # Even if the destination's QEMU starts guests by itself, and the source's would wake this one.
            with self.subTest(version), Migrating(version, '--paused', source=Guest.sleep,
                                                  destination={'autostart': True}) as migrating:
                self.check_stays(migrating)
        with Migrating('10.0', '--paused') as migrating:
            self.check_stays(migrating)
        with Migrating('10.0', '--paused', rate='64Mbps') as migrating:
            migrating.src.cont()
            self.check_goes_on(migrating)
        with Migrating('10.0', '--paused', rate='64Mbps') as migrating:
            migrating.process.send_signal(signal.SIGINT)
            migrating.end(130)
            wait_until(lambda: migrating.src.status() == 'running', 5, 'guest that goes on at the source')

    def test_stopped_by_a_debugger(self):
        """Such a guest cannot be migrated."""
        with Migrating(source=debug) as migrating:
            self.assertRegex(migrating.end(1)['error'], 'debugger')
            self.assertEqual((migrating.src.status(), migrating.dst.status()), ('debug', 'inmigrate'))
        with Migrating(rate='64Mbps') as migrating:
            debug(migrating.src)
            self.assertRegex(migrating.end(1)['error'], 'debugger')
            self.assertEqual(migrating.src.status(), 'debug')

    def test_in_postcopy_it_goes_on_before_all_of_its_memory_is_there(self):
        for version in '7.2', '11.1':
            with self.subTest(version), Migrating(version, capabilities=['postcopy-ram', 'events'], rate='64Mbps') as migrating:
                migrating.src.execute('migrate-start-postcopy')
                self.assertIn('switchover_ms', migrating.end())
                # Under TCG, QEMU 11.1 loses pages in postcopy, without Wherry as well (test_postcopy.py).
                if version != '11.1':
                    migrating.check_runs()
                self.assertLess(migrating.dst.qmp.wait_event('RESUME')['time'],
                                migrating.src.qmp.wait_event('MIGRATION', status='completed')['time'])

    def test_a_source_that_would_go_on_after_postcopy_is_stopped(self):
        """The source's QEMU has sent the whole guest, and its connection ends before it knows that the guest has arrived."""
        for _ in range(10):
            with Migrating('11.1', capabilities=['postcopy-ram', 'events'], rate='64Mbps') as migrating:
                migrating.src.execute('migrate-start-postcopy')
                migrating.dst.qmp.wait_event('RESUME')
                if not self.hold_the_last_pages(migrating):
                    continue
                for _ in range(2):
                    migrating.process.send_signal(signal.SIGINT)
                    time.sleep(0.3)  # two pending signals would be delivered as one
                self.assertRegex(migrating.end(3)['error'], 'postcopy')
                if self.goes_on(migrating.src):
                    return self.assertEqual(migrating.src.status(), 'paused')
        self.fail('ten times, the last pages were too many for the buffers on the way')

    def goes_on(self, source):
        """False if the source's QEMU still had something to write: then it keeps the guest stopped for a recovery."""
        wait_until(lambda: source.qmp.find_event('RESUME') or source.execute('query-migrate')['status'] == 'postcopy-paused', 60,
                   'end of postcopy at the source')
        return source.qmp.find_event('RESUME')

    def hold_the_last_pages(self, migrating):
        """Lets the destination's QEMU run in short steps until all pages are sent, so that the last ones are in transit while
        it is stopped. False if they were too many for the buffers on the way: then the source's monitor does not answer."""
        with contextlib.suppress(TimeoutError):
            while migrating.src.qmp.execute('query-migrate', 1)['ram']['remaining'] > 0:
                for number in signal.SIGCONT, signal.SIGSTOP:
                    migrating.dst.process.send_signal(number)
                    time.sleep(0.02)
            return migrating.src.qmp.execute('query-migrate', 1)['status'] == 'postcopy-active'
        return False

    def test_stopped_before_postcopy(self):
        with Migrating(capabilities=['postcopy-ram'], destination={'autostart': True}, rate='64Mbps') as migrating:
            migrating.src.stop()
            migrating.src.execute('migrate-start-postcopy')
            self.check_stays(migrating)


class Settings(unittest.TestCase):
    """Settings of the source's QEMU for a migration."""

    def test_pause_before_switchover(self):
        for version in '7.2', '11.1':
            with self.subTest(version), Migrating(version, capabilities=['pause-before-switchover']) as migrating:
                migrating.end()
                migrating.check_runs()

    def test_compress(self):
        with Migrating('7.2', capabilities=['compress']) as migrating:
            self.assertEqual(migrating.end()['opaque'], {'main': 'compress'})
            migrating.check_runs()

    def test_what_is_on_at_the_destination_alone(self):
        with Migrating('10.0', set_there=['multifd', 'x-ignore-shared']) as migrating:
            migrating.end()
            migrating.check_runs()

    def test_what_cannot_be_carried_is_refused_before_anything_is_set(self):
        with Migrating('10.0', capabilities=['multifd', 'zero-copy-send']) as migrating:
            report = migrating.end(1)
            self.assertRegex(report['error'], 'migrate_set_capability zero-copy-send off')
            self.assertEqual(capabilities(migrating.src), {'multifd', 'zero-copy-send'})
            self.assertEqual(capabilities(migrating.dst), set())
            self.assertEqual(migrating.dst.status(), 'inmigrate')


class Cancelled(unittest.TestCase):
    def test_by_a_signal(self):
        with Migrating(rate='64Mbps') as migrating:
            migrating.process.send_signal(signal.SIGINT)
            self.assertEqual(migrating.end(130)['status'], 'cancelled')

    def test_in_the_monitor(self):
        with Migrating('11.1', rate='64Mbps') as migrating:
            migrating.src.execute('migrate_cancel')
            report = migrating.end(1)
            self.assertEqual(report['status'], migrating.src.execute('query-migrate')['status'])


if __name__ == '__main__':
    unittest.main()
