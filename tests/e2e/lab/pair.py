"""Pair: a source guest, a destination guest and the two wherries between them, ready to migrate over a link.

    with Pair(multifd=4, placement='direct', rate='80mbit') as pair:
        pair.migrate()
        pair.complete()

version      QEMU's, for both guests, unless `destination` has another
arch         of both guests
scheme       of the sender's URI               keys      of that URI: 'streams=2&verify=on'
listen_keys  of the receiver's URI
multifd      channels, 0 = none                qmp       whether the receiver gets its QEMU's monitor
placement    in the sender's URI               rate      of the link; None = unshaped
passes       largest packet of the link in bytes, as in Link
source, destination      more arguments of Guest, for one end; by default it is a small guest
capabilities, parameters of the migration at both ends, as in configure_migration
return_path  False: without that capability
tcp          the QEMUs reach their wherries over TCP on loopback instead of unix sockets
sender_qmp   whether the sender gets its QEMU's monitor, and `cgroups` whether it sees control groups
incoming     False: the destination is not told to wait for a migration
wherries     False: start no wherries; `start_wherries()` does

`src`, `dst`, `link`, `sender`, `receiver`. An exception that leaves the context gets the output of all four programs.
"""
import contextlib
import subprocess

from .guest import Guest
from .link import Link
from .migration import compare_ram
from .process import wait_until
from .qmp import QmpError
from .states import ENDED, STAYED
from .wherry import Wherry

PAGES = 2048
SMALL = {'ram_kib': 49160, 'append': f'pages={PAGES} rate=8000 mix=text:60,random:30,flip:10 verify=20000'}


class Pair:
    def __init__(self, version='10.0', *, arch='x86_64', multifd=0, placement='relay', keys='streams=2&verify=on', rate=None,
                 passes=None, qmp=True, source=None, destination=None, capabilities=(), parameters=None, return_path=True, tcp=False,
                 sender_qmp=False, cgroups=True, incoming=True, wherries=True, scheme='wherry', listen_keys=''):
        self._incoming, self._scheme, self._listen_keys = incoming, scheme, listen_keys
        self._return_path, self._tcp, self._sender_qmp = return_path, tcp, sender_qmp
        self._cgroups = cgroups
        self.multifd, self.placement, self.keys, self.qmp = multifd, placement, keys, qmp
        self._version, self._capabilities, self._parameters = version, capabilities, parameters or {}
        self._destination = {**SMALL, 'arch': arch, **(destination or {})}
        self._stack = contextlib.ExitStack()
        self.sender = self.receiver = self.dst = None
        try:
            self.link = self._enter(Link(rate, passes))
            self.src = self._enter(Guest(version, **{**SMALL, 'arch': arch, 'ram': 'private', **(source or {})},
                                         netns=self.link.netns('a')))
            self._configure(self.src)
            self.renew_destination()
            self.src.wait_ready()
            if wherries:
                self.start_wherries()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def _enter(self, context):
        return self._stack.enter_context(context)

    def _configure(self, guest):
        guest.configure_migration(self.multifd, self._capabilities, **{'downtime_limit': 100, **self._parameters})
        if not self._return_path:
            guest.execute('migrate-set-capabilities', capabilities=[{'capability': 'return-path', 'state': False}])

    def renew_destination(self):
        """Starts a new destination guest that waits for a migration; the one before ends."""
        if self.dst:
            self.dst.close()
        self.dst = self._enter(Guest(**{'version': self._version, 'incoming': True, 'netns': self.link.netns('b'),
                                        **self._destination}))
        self._configure(self.dst)
        if self._incoming:
            self.dst.execute('migrate-incoming', uri=self._uri(self._in()))

    def _in(self):
        return 'tcp:127.0.0.1:5001' if self._tcp else self.dst.path('in')

    def _out(self):
        return 'tcp:127.0.0.1:5000' if self._tcp else self.src.path('out')

    @staticmethod
    def _uri(endpoint):
        return endpoint if endpoint.startswith('tcp:') else f'unix:{endpoint}'

    def start_wherries(self, listen=None, to=None, monitor=None, disks=None, traces=None, **both):
        """`listen`, `to`: hosts as in the URI, the link's IPv4 unless given. `monitor`: for the receiver, if not its own.
        `disks`: paths for copies of disks, at the source and at the destination; `traces`: files of --trace."""
        address = self.link.address('b')
        out, into = [('--disks', f'unix:{path}') for path in disks] if disks else ((), ())
        if traces:
            out, into = (*out, '--trace', traces[0]), (*into, '--trace', traces[1])
        self.receiver = self._enter(Wherry.receive(f'wherry://{listen or address}?{self._listen_keys}', self._in(),
                                                   qmp=monitor or (self.dst.qmp_path if self.qmp else None),
                                                   netns=self.link.netns('b'), extra=into, **both))
        self.receiver.wait_listening()
        self.sender = self._enter(Wherry.send(self._out(),
                                              f'{self._scheme}://{to or address}?placement={self.placement}&{self.keys}',
                                              qmp=self.src.qmp_path if self._sender_qmp else None,
                                              netns=self.link.netns('a'), cgroups=self._cgroups, extra=out, **both))
        self.sender.wait_for_socket()

    def migrate(self, **arguments):
        self.src.execute('migrate', uri=self._uri(self._out()), **arguments)

    def migrate_and_hold(self, passes):
        """Migrates, and keeps the guest at the source for that many passes over its memory, however fast pages are sent."""
        self.src.execute('migrate-set-parameters', downtime_limit=1)
        self.migrate()
        self.hold(passes)
        self.src.execute('migrate-set-parameters', downtime_limit=self._parameters.get('downtime_limit', 100))

    def hold(self, passes):
        """Waits until the running migration is in that pass over the guest's memory, counted from 1."""
        def reached():
            info = self.src.execute('query-migrate')
            ram = info.get('ram')
            if ram and ram['transferred'] > 1 << 20 and ram['dirty-sync-count'] >= passes:
                return True
            if info.get('status') in ENDED:
                raise RuntimeError(f"migration {info['status']} before pass {passes}: {info.get('error-desc', '')}")
            return False
        wait_until(reached, 20, f'pass {passes} of the migration')

    def complete(self, pages=PAGES, compare=True, code=0):
        """Waits for the end of a successful migration. Checks the exit status of both wherries, RAM (unless the destination
        starts the guest by itself), and that the guest runs correctly, and only on its new host. Returns both reports."""
        self.src.wait_migrated(timeout=60)
        codes = self.sender.wait(10), self.receiver.wait(10)
        if codes != (code, code):
            raise AssertionError(f'the wherries ended with {codes}, not with {code}')
        wait_until(lambda: self.dst.status() != 'inmigrate', 10, 'destination QEMU that has loaded the guest')
        if not self.dst.autostart:
            if compare and (different := compare_ram(self.src, self.dst)):
                raise AssertionError(f'{len(different)} pages differ: {different[:10]} …')
            self.dst.cont()
        self.dst.wait_verified(pages)
        if (status := self.src.status()) != 'postmigrate':
            raise AssertionError(f'the source guest is {status}')
        if bad := self.src.bad() + self.dst.bad():
            raise AssertionError(f'the guest found {bad[:10]}')
        return self.sender.report, self.receiver.report

    def check_source_goes_on(self, within=5, statuses=STAYED):
        """Waits until the source's QEMU has left the migration, then until its guest has checked its memory."""
        def out():
            return self.src.execute('query-migrate').get('status') in statuses and self.src.status() == 'running'
        wait_until(out, within, 'source guest that is out of the migration and runs')
        before = self.src.last_tick() or {'tick': 0, 'verified': 0}

        def gone_on(_):
            now = self.src.last_tick()
            return now and now['tick'] > before['tick'] and now['verified'] >= before['verified'] + PAGES
        self.src.wait_console(gone_on, 10, 'progress of the source guest')
        if bad := self.src.bad():
            raise AssertionError(f'the source guest found {bad[:10]}')

    def processes(self):
        """Ids of all processes on the two hosts."""
        listed = [subprocess.run(['ip', 'netns', 'pids', self.link.netns(side)], capture_output=True, text=True).stdout
                  for side in 'ab']
        return set(map(int, ' '.join(listed).split()))

    @staticmethod
    def _state(guest):
        try:
            return guest.qmp.execute('query-status', 2)['status']
        except (OSError, QmpError) as error:
            return guest.process.poll() or error

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            for name, process in (('wherry send', self.sender), ('wherry receive', self.receiver)):
                if process:
                    error.add_note(f'{name} ({process.returncode}): {process.stderr}')
            for name in ('src', 'dst'):
                if (guest := getattr(self, name, None)) and guest.process:
                    error.add_note(f'{name} QEMU ({self._state(guest)}): {guest.stderr()}')
        self._stack.close()
