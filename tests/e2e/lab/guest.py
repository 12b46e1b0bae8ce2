"""Guest: a QEMU that runs the test guest (tests/guest/guest.c), as the source or the destination of a migration.

    with Guest('10.0') as src, Guest('10.0', incoming=True, ram='memfd') as dst: …

version   '7.2' (installed), '10.0', '11.1' (unpacked by tests/e2e/qemu-from-suite on first use)
incoming  a destination: starts with `-incoming defer`; otherwise it boots
autostart whether the guest starts by itself: by default a source does, and a destination waits for `cont()` (-S)
ram       'private', 'memfd' (memory-backend-memfd), 'shm' (memory-backend-file in /dev/shm; `ram_file` is its path)
ram_kib   default 131080: QEMU 7.2 under TCG loses dirty pages if RAM is a multiple of 256 KiB. Rounded up to what the
          machine accepts, which is such a multiple on machines other than x86
arch      'x86_64', 's390x', 'ppc64', 'alpha' (MACHINES)
machine   the arch's default ('pc'), 'q35' or an exact machine type
kernel    file of the test guest, if it is built already; '' for none, as on alpha
accel     QEMU's -accel; the test guest is for TCG
netns     network namespace to run in, e.g. link.netns('a')

`qmp` is the test's monitor connection, `qmp_path` a second monitor for Wherry, `path(NAME)` a path for a socket. Leaving the
context kills QEMU and removes every file. The RAM block has the same name for every kind of RAM, so kinds can be mixed.
"""
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from .console import Console
from .machine import MACHINES
from .process import end, in_namespace, scratch, spawn, wait_until
from .qmp import Qmp
from .states import ENDED

TESTS = Path(__file__).resolve().parents[2]
VERSIONS = ('7.2', '10.0', '11.1')
_SUITES = {'10.0': 'trixie', '11.1': 'sid'}
CACHE = Path(os.environ.get('WHERRY_TEST_CACHE', '/var/cache/wherry-tests'))


@functools.cache
def qemu_path(version, arch='x86_64'):
    """The qemu-system-ARCH of that version. 11.1 is the version in Debian sid, which may be newer by now."""
    if version == '7.2':
        return f'qemu-system-{arch}'
    packages = MACHINES[arch].packages
    target = CACHE / '-'.join(['qemu', _SUITES[version], *([arch] if packages else [])])
    subprocess.run([TESTS / 'e2e/qemu-from-suite', _SUITES[version], target, *packages], check=True)
    return str(target / f'qemu-system-{arch}')


@functools.cache
def guest_kernel(arch='x86_64'):
    path = os.path.join(scratch(), f'wherry-guest-{arch}.elf')
    subprocess.run([TESTS / 'guest/build', path, arch], check=True)
    return path


class Guest(Console):
    def __init__(self, version='7.2', *, incoming=False, autostart=None, ram='memfd', ram_kib=131080, arch='x86_64',
                 machine=None, append='pages=16384 rate=2000 verify=30000', kernel=None, accel='tcg', netns=None, extra=()):
        self.version, self.incoming, self.netns, self._arch, self._machine = version, incoming, netns, arch, MACHINES[arch]
        self.autostart = not incoming if autostart is None else autostart
        self.ram_kib = -(-ram_kib // self._machine.ram_unit) * self._machine.ram_unit
        self._directory, self._shm, self._kernel = scratch(), None, guest_kernel(arch) if kernel is None else kernel
        super().__init__(self.path('console'), self.check_alive)
        self.qmp = self.process = None
        try:
            self._start(ram, machine, append, accel, extra)
        except BaseException:
            self.close()
            raise

    def _start(self, ram, machine, append, accel, extra):
        block = self._machine.ram
        backend = f'id={block},size={self.ram_kib}K,share=on,x-use-canonical-path-for-ramblock-id=off'
        if ram == 'shm':
            self._shm = scratch('/dev/shm')
            self.ram_file = os.path.join(self._shm, 'ram')
            memory = ['-object', f'memory-backend-file,mem-path={self.ram_file},{backend}']
        elif ram == 'memfd':
            memory = ['-object', f'memory-backend-memfd,{backend}']
        elif ram == 'private':
            memory = []
        else:
            raise ValueError(f'unknown kind of RAM: {ram}')
        machine = [machine or self._machine.kind, self._machine.options, memory and f'memory-backend={block}']
        argv = [qemu_path(self.version, self._arch), '-nodefaults', '-no-user-config', '-display', 'none', '-accel', accel,
                '-machine', ','.join(filter(None, machine)), '-m', f'{self.ram_kib}k', *memory,
                *(['-kernel', self._kernel, '-append', append] if self._kernel else []),
                '-serial', f"file:{self.path('console')}",
                '-qmp', f"unix:{self.path('test.qmp')},server=on,wait=off",
                '-qmp', f'unix:{self.qmp_path},server=on,wait=off', *extra]
        if self.incoming:
            argv += ['-incoming', 'defer']
        if not self.autostart:
            argv += ['-S']
        with open(self.path('stderr'), 'wb') as stderr:
            self.process = spawn(in_namespace(self.netns, argv), stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        try:
            self.qmp = Qmp(self.path('test.qmp'), alive=lambda: self.process.poll() is None)
        except Exception as error:
            raise RuntimeError(f'QEMU {self.version} does not start: {self.stderr()}') from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.qmp:
            self.qmp.close()
        if self.process:
            end(self.process)
        for directory in filter(None, (self._directory, self._shm)):
            shutil.rmtree(directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self._directory, name)

    @property
    def qmp_path(self):
        return self.path('wherry.qmp')

    def execute(self, command, /, **arguments):
        return self.qmp.execute(command, **arguments)

    def status(self):
        return self.execute('query-status')['status']

    def stop(self):
        self.execute('stop')

    def cont(self):
        self.execute('cont')

    def sleep(self):
        """Puts the guest into ACPI S3, as a guest does itself, by a write to the register (pc, q35). system_wakeup ends it."""
        # QEMU 7.2 accepts only a write of both bytes, and the monitor of 11.1 can write only one.
        for write in ('/w 0x604 0x2400', '/b 0x605 0x24'):
            if self.status() != 'suspended':
                self.execute('human-monitor-command', command_line=f'o {write}')
        wait_until(lambda: self.status() == 'suspended', 5, 'guest that sleeps')

    def touched(self):
        """Page touches so far, from the guest's counter in its memory; current also between ticks and when it is stopped."""
        symbols = subprocess.run(['nm', self._kernel], check=True, capture_output=True, text=True).stdout
        address = re.search(r'(\w+) b touched$', symbols, re.MULTILINE)[1]
        return int(self.execute('human-monitor-command', command_line=f'xp /1gd 0x{address}').split(':')[1])

    def check_alive(self):
        if self.process.poll() is not None:
            raise RuntimeError(f'QEMU {self.version} ended: {self.stderr()}')

    def stderr(self):
        return Path(self.path('stderr')).read_text(errors='replace').strip()

    # Migration

    def configure_migration(self, multifd=0, capabilities=(), **parameters):
        """Turns on the return path, multifd with that many channels, more capabilities; sets parameters
        (downtime_limit=300 …). The bandwidth limit is off unless given. For both ends, before migrate(-incoming)."""
        names = ['return-path', 'events', *capabilities, *(['multifd'] if multifd else [])]
        self.execute('migrate-set-capabilities', capabilities=[{'capability': n, 'state': True} for n in names])
        if multifd:
            parameters['multifd_channels'] = multifd
        self.execute('migrate-set-parameters', **{'max_bandwidth': 0, **parameters})

    def wait_migrated(self, timeout=120, every=0.01):
        """Waits for the end of an outgoing migration, polling every `every` seconds, and returns query-migrate; raises if it
        did not complete."""
        def finished():
            info = self.execute('query-migrate')
            return info if info.get('status') in ENDED else None
        info = wait_until(finished, timeout, 'end of the migration', every)
        if info['status'] != 'completed':
            raise RuntimeError(f"migration {info['status']}: {info.get('error-desc', '')} {self.stderr()}")
        return info
