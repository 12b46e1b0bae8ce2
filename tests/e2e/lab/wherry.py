"""Wherry: a running `wherry send` or `wherry receive`. The binary is $WHERRY_BIN, or build/release/wherry of this tree.

    with Wherry.receive('wherry://10.98.0.2', dst.path('in'), qmp=dst.qmp_path, netns=link.netns('b')) as receiver:
        receiver.wait_listening()
        with Wherry.send(src.path('out'), 'wherry://10.98.0.2?streams=2', netns=link.netns('a')) as sender: …

QEMU's socket is a path or 'tcp:HOST:PORT'. Both run in the network namespace `netns` or on a `host` of Hosts, with
--insecure unless `insecure=False`, see control groups unless `cgroups=False`, and write a report, to `report` if given.
`Wherry.migrate` is both in one process, between two monitors.
After `wait()`: `returncode`, `report` (dict), `stderr` (text).
"""
import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from .guest import TESTS
from .process import end, in_namespace, scratch, spawn, wait_until

DEFAULT_PORT = 16520


def wherry_binary(program='wherry'):
    """The path of one of Wherry's programs; all are in one directory."""
    path = os.environ.get('WHERRY_BIN') or str(TESTS.parent / 'build/release/wherry')
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f'no wherry at {path}: build it (cmake --build build/release) or set WHERRY_BIN')
    return os.path.join(os.path.dirname(os.path.abspath(path)), program)


def _endpoint(qemu):
    return qemu if qemu.startswith('tcp:') else f'unix:{qemu}'


class Wherry:
    def __init__(self, arguments, netns=None, host=None, insecure=True, report=None, cgroups=True):
        self._directory = scratch()
        self.report_path = report or os.path.join(self._directory, 'report.json')
        self._stderr_path = os.path.join(self._directory, 'stderr')
        argv = [wherry_binary(), *arguments, '--report', self.report_path, *(['--insecure'] if insecure else [])]
        argv = host.inside(argv) if host else in_namespace(netns, argv, cgroups)
        with open(self._stderr_path, 'wb') as stderr:
            self.process = spawn(argv, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)

    @classmethod
    def send(cls, qemu, to, *, qmp=None, extra=(), **options):
        self = cls(['send', '--qemu', _endpoint(qemu), '--to', to, *(['--qmp', f'unix:{qmp}'] if qmp else []), *extra],
                   **options)
        self._qemu = qemu
        return self

    @classmethod
    def receive(cls, listen, qemu, *, qmp=None, extra=(), **options):
        return cls(['receive', '--listen', listen, '--qemu', _endpoint(qemu),
                    *(['--qmp', f'unix:{qmp}'] if qmp else []), *extra], **options)

    @classmethod
    def migrate(cls, from_qmp, to_qmp, via, **options):
        return cls(['migrate', '--from', f'qmp:{from_qmp}', '--to', f'qmp:{to_qmp}', '--via', via], **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        end(self.process)
        shutil.rmtree(self._directory, ignore_errors=True)

    def kill(self):
        end(self.process)

    def wait_listening(self, port=DEFAULT_PORT, timeout=10):
        """receive: waits until it listens on the port. (Read from /proc; a connection would count as a sender.)"""
        proc = Path(f'/proc/{self.process.pid}')

        def listening():
            sockets = set()
            for fd in proc.glob('fd/*'):
                with contextlib.suppress(OSError):  # closed since it was listed
                    sockets.add(os.readlink(fd))
            for table in ('tcp', 'tcp6'):
                try:
                    lines = (proc / 'net' / table).read_text().splitlines()[1:]
                except OSError:  # it has just ended
                    return False
                for fields in map(str.split, lines):
                    local, state, inode = fields[1], fields[3], fields[9]
                    if state == '0A' and int(local[-4:], 16) == port and f'socket:[{inode}]' in sockets:
                        return True
            return False
        self._wait_for(listening, timeout, f'listener on port {port}')

    def wait_for_socket(self, timeout=10):
        """send: waits until QEMU can connect."""
        if self._qemu.startswith('tcp:'):
            return self.wait_listening(int(self._qemu.split(':')[-1]), timeout)
        def listening():  # the file alone proves nothing: a killed process leaves it
            with contextlib.suppress(OSError):
                for fields in map(str.split, Path(f'/proc/{self.process.pid}/net/unix').read_text().splitlines()):
                    if fields[-1] == self._qemu and fields[3] == '00010000':
                        return True
            return False
        self._wait_for(listening, timeout, f'socket {self._qemu}')

    def _wait_for(self, condition, timeout, what):
        def check():
            if self.process.poll() is not None:
                raise RuntimeError(f'wherry ended with {self.process.returncode}: {self.stderr}')
            return condition()
        wait_until(check, timeout, what)

    @property
    def private_bytes(self):
        """The process's own memory, without mapped guest memory."""
        status = Path(f'/proc/{self.process.pid}/status').read_text()
        return int(re.search(r'RssAnon:\s*(\d+)', status)[1]) * 1024

    def wait(self, timeout=60):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f'wherry still runs after {timeout} s: {self.stderr}') from None

    @property
    def returncode(self):
        return self.process.poll()

    @property
    def stderr(self):
        return Path(self._stderr_path).read_text(errors='replace').strip()

    @property
    def report(self):
        return json.loads(Path(self.report_path).read_text())
