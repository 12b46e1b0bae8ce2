"""Limits of descriptors and threads for a process, as an administrator sets them.

If they are too low, a migration fails at once with a message that names the limit, or it completes. The guest runs on one of
the hosts and is never left stopped. A daemon reports the limit, waits without using the processor, and continues.

Each run tries a random selection of limits; with WHERRY_EVERY_LIMIT (scripts/test --all) all of them.
"""
import contextlib
import os
import random
import re
import socket
import subprocess
import time
import unittest

from lab import Certificates, Guest, QmpError, scratch, spawn, wait_until, wherry_binary
from lab.process import end

EVERY = os.environ.get('WHERRY_EVERY_LIMIT')
CHANNELS = 16
GUEST = {'ram_kib': 24584, 'append': 'pages=1024 rate=2000 verify=2000'}
# The lowest is what the dynamic loader needs.
DESCRIPTORS, SAYS_DESCRIPTORS = 4, r'Too many open files \(ulimit -n, LimitNOFILE\)|: Error 24'
THREADS, SAYS_THREADS = 1, r'cannot start a thread: .* \(ulimit -u, TasksMax\)'
USER = 61000 + os.getpid() % 1000  # a user without other processes: threads are counted per user


def limits(least, seen, enough):
    """`seen` is a limit at which a fault was found once."""
    every = range(least, enough)
    return [*(every if EVERY else sorted({seen, *random.sample(every, 2)})), enough]


def few_descriptors(limit):
    return ['prlimit', f'--nofile={limit}']


def few_threads(limit):
    return ['prlimit', f'--nproc={limit}', 'setpriv', f'--reuid={USER}', '--pdeathsig=KILL']


class Process:
    """A program, with limits or without, and its output."""

    def __init__(self, stack, arguments, prefix=()):
        self._said = os.path.join(scratch(), 'said')
        with open(self._said, 'wb') as said:
            self._process = spawn([*prefix, *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        stack.callback(end, self._process)

    @property
    def pid(self):
        return self._process.pid

    @property
    def said(self):
        with open(self._said, errors='replace', encoding='utf-8') as said:
            return said.read()

    def ended(self):
        return self._process.poll() is not None

    def wait(self):
        wait_until(self.ended, 30, f'end of a process that says {self.said}')
        return self._process.returncode

    def wait_said(self, pattern):
        """Waits for a match in the output; None if the program ends without one."""
        wait_until(lambda: re.search(pattern, self.said) or self.ended(), 30, f'"{pattern}"')
        return re.search(pattern, self.said)


class Migrations(unittest.TestCase):
    """Real guests with 16 multifd channels. One source is used for all migrations that fail."""

    def setUp(self):
        self._source = contextlib.ExitStack()
        self.addCleanup(self._source.close)
        self.src = self.certificates = None

    def guest(self, stack, endpoint, **options):
        guest = stack.enter_context(
            Guest('10.0', **GUEST, **options, **(self.certificates.end(endpoint) if self.certificates else {})))
        guest.configure_migration(CHANNELS, downtime_limit=300,
                                  **({'tls_creds': 'tls', 'tls_hostname': 'peer'} if self.certificates else {}))
        return guest

    def renew_source(self):
        self._source.close()
        self.src = self.guest(self._source, 'client', ram='private')
        self.src.wait_ready()

    def send_and_receive(self, stack, dst, limited, prefix):
        dst.execute('migrate-incoming', uri=f"unix:{dst.path('in')}")
        out = os.path.join(scratch(), 'out')
        os.chown(os.path.dirname(out), USER, 0)
        receive = Process(stack, [wherry_binary(), 'receive', '--listen', 'wherry://127.0.0.1:0', '--qemu',
                                  f"unix:{dst.path('in')}", '--qmp', f'unix:{dst.qmp_path}'],
                          prefix if limited == 'receive' else ())
        if not (listens := receive.wait_said(r'listening on (\S+)')):
            return receive
        send = Process(stack, [wherry_binary(), 'send', '--qemu', f'unix:{out}', '--to', f'wherry://{listens[1]}?resume=120s'],
                       prefix if limited == 'send' else ())
        if send.wait_said('ready: migrate QEMU'):
            with contextlib.suppress(QmpError):  # the migration may have ended since
                self.src.execute('migrate', uri=f'unix:{out}')
        if send.wait() == 0:
            receive.wait()
        return send if limited == 'send' else receive

    def migrate(self, stack, dst, _, prefix):
        return Process(stack, [wherry_binary(), 'migrate', '--from', f'qmp:{self.src.qmp_path}', '--to',
                               f'qmp:{dst.qmp_path}'], prefix)

    def check(self, carry, limited, prefix, says):
        """Returns whether the migration completed."""
        if not self.src or not self.source_is_done():
            self.renew_source()
        with contextlib.ExitStack() as stack:
            dst = self.guest(stack, 'server', incoming=True)
            process = carry(stack, dst, limited, prefix)
            completed = process.wait() == 0
            if completed:
                wait_until(lambda: dst.status() != 'inmigrate', 10, 'destination that has loaded the guest')
                self.assertEqual(self.src.status(), 'postmigrate')
                dst.cont()
                dst.wait_verified(1)
                self.assertEqual(dst.bad(), [])
            else:
                self.assertRegex(process.said, says)
                wait_until(self.source_runs, 20, f'source guest that runs and is in no migration ({process.said})')
        self.src = self.src if not completed else None
        return completed

    def source_runs(self):
        migration = self.src.execute('query-migrate').get('status', 'none')
        return self.src.status() == 'running' and migration in ('failed', 'cancelled', 'none')

    def source_is_done(self):
        """QEMU 10.0 reports `failed` before it is ready for another migration. If a multifd channel ended early, it never
        gets ready (in 1 of 10 tries)."""
        return {'type': 'migration'} not in self.src.execute('query-yank')

    def check_limits(self, carry, limited, prefix, every, says):
        for limit in every:
            with self.subTest(limited=limited, limit=limit):
                try:
                    completed = self.check(carry, limited, prefix(limit), says)
                except BaseException:
                    self.src = None
                    raise
        self.assertTrue(completed, 'with enough of them')

    def test_descriptors_of_send(self):
        self.check_limits(self.send_and_receive, 'send', few_descriptors, limits(DESCRIPTORS, 24, 64), SAYS_DESCRIPTORS)

    def test_descriptors_of_receive(self):
        self.check_limits(self.send_and_receive, 'receive', few_descriptors, limits(DESCRIPTORS, 16, 64), SAYS_DESCRIPTORS)

    def test_descriptors_of_migrate(self):
        self.check_limits(self.migrate, 'migrate', few_descriptors, limits(DESCRIPTORS, 40, 100), SAYS_DESCRIPTORS)

    def test_descriptors_where_the_stream_is_not_seen(self):
        """With an opaque stream, so that Wherry must assume at any time that the destination's QEMU may have the guest."""
        self.certificates = Certificates()
        for limited, limit in (('send', 21), ('receive', 20)):
            self.check_limits(self.send_and_receive, limited, few_descriptors, (limit, 64), SAYS_DESCRIPTORS)

    def test_threads_of_send(self):
        self.check_limits(self.send_and_receive, 'send', few_threads, limits(THREADS, 24, 70), SAYS_THREADS)


class Daemons(unittest.TestCase):
    """wherryd in its own PID namespace, so that a stray signal can reach only its processes."""

    def start(self, stack, port, peer, peer_port, prefix=(), directory=None):
        directory = directory or scratch()
        process = Process(stack, ['unshare', '--pid', '--fork', '--kill-child', *prefix, wherry_binary('wherryd'), '--listen',
                                  f'wherry://127.0.0.1:{port}', '--runtime-dir', directory, '--peer',
                                  f'{peer}=127.0.0.1:{peer_port}'])
        return process, directory

    @staticmethod
    def ports(count):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.create_server(('127.0.0.1', 0))) for _ in range(count)]
            return [each.getsockname()[1] for each in sockets]

    @staticmethod
    def status(directory):
        return subprocess.run([wherry_binary(), 'status', '--runtime-dir', directory], capture_output=True, timeout=30).returncode

    @staticmethod
    def processor_time(process):
        """Processor time of wherryd, in seconds."""
        with open(f'/proc/{process.pid}/task/{process.pid}/children', encoding='ascii') as children:
            child = int(children.read())
        with open(f'/proc/{child}/stat', encoding='ascii') as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def check_crowd(self, prefix, says, directory=None):
        """More clients connect at once than wherryd has descriptors or threads for, and they stay silent. It answers errands
        meanwhile. `says`: what it says of them."""
        with contextlib.ExitStack() as stack:
            port, nobody = self.ports(2)
            daemon, directory = self.start(stack, port, 'hostb', nobody, prefix, directory)
            self.assertTrue(daemon.wait_said('listening on'), daemon.said)
            with contextlib.ExitStack() as crowd:
                for _ in range(100):
                    crowd.enter_context(socket.create_connection(('127.0.0.1', port)))
                self.assertTrue(daemon.wait_said(says), daemon.said)
                self.assertEqual(self.status(directory), 0)
                before = self.processor_time(daemon)
                time.sleep(3)
                self.assertLess(self.processor_time(daemon) - before, 0.1, 'seconds of a processor while it waits for 3')
            wait_until(lambda: self.status(directory) == 0, 30, f'answer of a daemon that says {daemon.said}')

    def test_a_crowd_and_few_descriptors(self):
        self.check_crowd(few_descriptors(64), 'has no more descriptors for this one')

    def test_a_crowd_and_few_threads(self):
        directory = scratch()
        os.chown(directory, USER, 0)
        self.check_crowd(few_threads(30), 'did not send a first frame in time', directory)

    def check_route(self, side, limit):
        """Migrates a guest by a route between two wherryds, one with few descriptors. Returns whether it completed."""
        with contextlib.ExitStack() as stack:
            ports = self.ports(2)
            prefix = few_descriptors(limit)
            there, to = self.start(stack, ports[1], 'hosta', ports[0], prefix if side == 'there' else ())
            here, by = self.start(stack, ports[0], 'hostb', ports[1], prefix if side == 'here' else ())
            limited = here if side == 'here' else there
            for daemon in (here, there):
                if not daemon.wait_said('listening on'):
                    self.assertRegex(daemon.said, SAYS_DESCRIPTORS)
                    return False
            route = subprocess.run([wherry_binary(), 'route', 'wherry://hostb?streams=2', '--runtime-dir', by],
                                   capture_output=True, text=True, timeout=60)
            moved = False
            if route.returncode == 0:
                out = route.stdout.strip().removeprefix('unix://')
                src, dst = (stack.enter_context(Guest('10.0', incoming=incoming, **GUEST)) for incoming in (False, True))
                for guest in (src, dst):
                    guest.configure_migration(CHANNELS, downtime_limit=300)
                src.wait_ready()
                dst.execute('migrate-incoming', uri=f'unix:{to}{out.removeprefix(by)}')
                with contextlib.suppress(QmpError):
                    src.execute('migrate', uri=f'unix:{out}')
                over = ('completed', 'failed', 'cancelled', 'none')
                wait_until(lambda: src.execute('query-migrate').get('status', 'none') in over, 30, 'end of the migration')
                moved = src.execute('query-migrate').get('status') == 'completed'
                self.assertEqual(src.status(), 'postmigrate' if moved else 'running')
            if not moved:
                self.assertRegex(route.stderr + here.said + there.said, SAYS_DESCRIPTORS)
            self.assertFalse(limited.ended(), limited.said)  # a wherryd that has started keeps running
            for directory in (by, to):
                wait_until(lambda d=directory: self.status(d) == 0, 30, f'answer of {here.said} {there.said}')
            return moved

    def test_routes_and_few_descriptors(self):
        for side in ('here', 'there'):
            for limit in limits(DESCRIPTORS, 20, 64):
                with self.subTest(side=side, limit=limit):
                    moved = self.check_route(side, limit)
            self.assertTrue(moved, f'with enough of them {side}')


if __name__ == '__main__':
    unittest.main()
