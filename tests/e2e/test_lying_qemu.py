"""A QEMU that lies about its RAM cannot make Wherry, which is root, write what that QEMU may not write itself.

The QEMU is a process of user nobody: it answers as a monitor, takes the migration, and names as its RAM a file of root's that
it may only read. The source is a real guest.
"""
import contextlib
import json
import mmap
import os
import shutil
import signal
import socketserver
import threading
import unittest
from pathlib import Path

from lab import Guest, Wherry, scratch, wait_until

NOBODY = 65534
RAM = 49160 << 10
PORT = 17811
GREETING = {'QMP': {'version': {'qemu': {'major': 7, 'minor': 2, 'micro': 0}, 'package': ''}, 'capabilities': ['oob']}}
TABLE = '''              Block Name    PSize              Offset               Used              Total                HVA  RO
                  pc.ram    4 KiB  0x0000000000000000 {size:#018x} {size:#018x} {address:#018x}  rw
'''


def answers(address):
    table = TABLE.format(size=RAM, address=address)
    return {
        'query-status': {'status': 'inmigrate', 'running': False},
        'x-query-ramblock': {'human-readable-text': table},
        'human-monitor-command': table,
        'query-memdev': [{'id': 'pc.ram', 'size': RAM}],
        'query-memory-devices': [],
    }


def be_a_qemu(directory, file, taken):
    """Does not return. `taken`: counts what it was sent."""
    with open(file, 'rb') as opened:
        ram = mmap.mmap(opened.fileno(), RAM, mmap.MAP_SHARED, mmap.PROT_READ)
    [mapping] = [line for line in Path('/proc/self/maps').read_text().splitlines() if file in line]
    says = answers(int(mapping.split('-')[0], 16))

    class Monitor(socketserver.StreamRequestHandler):
        def handle(self):
            self.say(GREETING)
            for line in self.rfile:
                asked = json.loads(line)
                self.say({'return': says.get(asked.get('execute', ''), {}), 'id': asked.get('id')})

        def say(self, words):
            self.wfile.write(json.dumps(words).encode() + b'\n')

    class Incoming(socketserver.BaseRequestHandler):
        def handle(self):
            while got := self.request.recv(1 << 16):
                os.write(taken, b'.' * (len(got) >> 10))

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    for name, handler in (('monitor', Monitor), ('incoming', Incoming)):
        threading.Thread(target=Server(os.path.join(directory, name), handler).serve_forever, daemon=True).start()
    signal.pause()
    del ram


class LyingQemu(unittest.TestCase):
    def setUp(self):
        self.directory, shm = scratch(), scratch('/dev/shm')
        self.addCleanup(shutil.rmtree, self.directory)
        self.addCleanup(shutil.rmtree, shm)
        os.chown(self.directory, NOBODY, -1)
        os.chmod(shm, 0o755)
        self.file = os.path.join(shm, 'of-root')
        with open(self.file, 'wb') as made:
            made.truncate(RAM)
        os.chmod(self.file, 0o644)
        self.taken, taken = os.pipe()
        self.addCleanup(os.close, self.taken)
        os.set_blocking(self.taken, False)
        liar = os.fork()
        if liar == 0:
            with contextlib.suppress(BaseException):
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                be_a_qemu(self.directory, self.file, taken)
            os._exit(1)
        os.close(taken)
        self.addCleanup(os.waitpid, liar, 0)
        self.addCleanup(os.kill, liar, signal.SIGKILL)
        wait_until(lambda: os.path.exists(self.path('incoming')), 10, 'the monitor of the liar')

    def path(self, name):
        return os.path.join(self.directory, name)

    def written(self):
        """Whether the file has memory, which one that is all holes has not."""
        return os.stat(self.file).st_blocks > 0

    def test_a_file_that_it_may_only_read_is_not_written(self):
        kib = 0

        def pages_went():
            nonlocal kib
            with contextlib.suppress(BlockingIOError):
                kib += len(os.read(self.taken, 1 << 20))
            return kib > 1024 or self.written()

        with Guest(ram_kib=RAM >> 10, append='pages=4096 rate=100 verify=20000') as src:
            src.wait_ready()
            src.configure_migration()
            with Wherry.receive(f'wherry://127.0.0.1:{PORT}', self.path('incoming'), qmp=self.path('monitor')) as receiver:
                receiver.wait_listening(PORT)
                with Wherry.send(src.path('out'), f'wherry://127.0.0.1:{PORT}', qmp=src.qmp_path) as sender:
                    sender.wait_for_socket()
                    src.execute('migrate', uri=f"unix:{src.path('out')}")
                    wait_until(pages_went, 30, 'pages at the liar')
                    self.assertFalse(self.written(), 'a file of root was written for a process that may only read it')
                    self.assertIn("block 'pc.ram': not all of it is writable in QEMU", receiver.stderr)


if __name__ == '__main__':
    unittest.main()
