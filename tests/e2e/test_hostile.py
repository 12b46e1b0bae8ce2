"""What a peer, a QEMU or a user says harms nobody: not the log, not the process. And what a process of Wherry leaves when it
ends, and what happens to it when memory runs out."""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import socketserver
import subprocess
import threading
import unittest

from lab import Wherry, says, scratch, spawn, wait_until, wherry_binary
from lab.process import end

PORT = 17811
GREETING = {'QMP': {'version': {'qemu': {'major': 10, 'minor': 0, 'micro': 0}, 'package': ''}, 'capabilities': []}}
# Answers that are not what was asked for, whatever was.
NONSENSE = ([], 'text', 7, None, [7], [[]], {'status': 7}, {'return': []})


class FakeMonitor(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A monitor that answers some commands as told, and all others with `otherwise`."""
    daemon_threads = True

    def __init__(self, answers, otherwise):
        self.path = os.path.join(scratch(), 'qmp')

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    self.say(GREETING)
                    for line in self.rfile:
                        asked = json.loads(line)
                        self.say({'return': answers.get(asked['execute'], otherwise), 'id': asked['id']})

            def say(self, words):
                self.wfile.write(json.dumps(words).encode() + b'\n')

        super().__init__(self.path, Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Monitors(unittest.TestCase):
    def check(self, done):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn('terminate', done.stderr)

    def test_nonsense_of_both_monitors_ends_the_migration(self):
        # How far it comes: to the states, to the settings, and beyond.
        for known in ((), ('query-status',), ('query-status', 'query-migrate-parameters')):
            sound = {'query-migrate-parameters': {}, 'query-status': {'status': 'running'}}
            here = {name: sound[name] for name in known}
            there = here | ({'query-status': {'status': 'inmigrate'}} if known else {})
            for nonsense in NONSENSE:
                with self.subTest(known=known, nonsense=nonsense), FakeMonitor(here, nonsense) as source, \
                        FakeMonitor(there, nonsense) as destination:
                    self.check(subprocess.run([wherry_binary(), 'migrate', '--from', f'qmp:{source.path}', '--to',
                                               f'qmp:{destination.path}'], capture_output=True, text=True, timeout=60))

    def test_nonsense_of_the_senders_monitor_does_not_end_it(self):
        for nonsense in NONSENSE:
            with self.subTest(nonsense=nonsense), FakeMonitor({}, nonsense) as monitor:
                # Nobody listens there.
                self.check(subprocess.run([wherry_binary(), 'send', '--qemu', f'unix:{scratch()}/out', '--qmp',
                                           f'unix:{monitor.path}', '--to', 'wherry://127.0.0.1:1?resume=1s'],
                                          capture_output=True, text=True, timeout=60))


class Daemon(unittest.TestCase):
    """A wherryd, and what it says."""

    def setUp(self):
        with socket.create_server(('127.0.0.1', 0)) as free:
            self.port = free.getsockname()[1]
        self.log = os.path.join(scratch(), 'log')
        with open(self.log, 'wb') as log:
            self.daemon = spawn([wherry_binary('wherryd'), '--listen', f'wherry://127.0.0.1:{self.port}', '--runtime-dir',
                                 scratch(), '--peer', 'nowhere=127.0.0.1:1'], stdout=log, stderr=log)
        self.addCleanup(end, self.daemon)
        wait_until(lambda: 'listening on' in self.said(), 10, 'wherryd')

    def said(self):
        with open(self.log, encoding='utf-8', errors='replace') as log:
            return log.read()

    def test_a_route_cannot_forge_a_line_of_the_log(self):
        forged = 'x\nwherryd: route hostb is over\r\x1b[2K'
        done = subprocess.run([wherry_binary(), 'send', '--qemu', f'unix:{scratch()}/out', '--to',
                               f'wherry://127.0.0.1:{self.port}/{forged}'], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        shown = r'"x\nwherryd: route hostb is over\x0d\x1b[2K"'
        wait_until(lambda: shown in self.said(), 10, 'refusal in the log')
        self.assertFalse(re.search(r'^wherryd: route hostb is over', self.said(), re.MULTILINE), self.said())
        self.assertFalse(re.search(r'[\r\x1b]', self.said()), self.said())
        # The caller is told as well.
        says(self, done.stderr, shown)

    def test_it_ends_before_a_guest(self):
        self.assertEqual(oom_score(self.daemon.pid), 1000)


def oom_score(pid):
    with open(f'/proc/{pid}/oom_score_adj', encoding='ascii') as score:
        return int(score.read())


class Carrier(unittest.TestCase):
    """A process that carries a guest."""

    def test_it_ends_before_a_guest(self):
        with Wherry.receive(f'wherry://127.0.0.1:{PORT}', f'{scratch()}/in') as receiver:
            receiver.wait_listening(PORT)
            self.assertEqual(oom_score(receiver.process.pid), 1000)

    def cores(self, argv, is_up):
        """The core dumps of a process that has crashed."""
        directory = scratch()

        def run_there():
            os.chdir(directory)
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        process = subprocess.Popen([str(each) for each in argv], preexec_fn=run_there, stderr=subprocess.DEVNULL)
        self.addCleanup(end, process)
        wait_until(lambda: is_up(process), 10, 'the process')
        process.send_signal(signal.SIGSEGV)
        self.assertEqual(process.wait(30), -signal.SIGSEGV)
        return os.listdir(directory)

    def test_it_leaves_no_core_dump(self):
        def sleeps(process):
            with open(f'/proc/{process.pid}/comm', encoding='ascii') as name:
                return name.read() == 'sleep\n'

        def listens(_):
            with socket.socket() as caller:
                return caller.connect_ex(('127.0.0.1', PORT)) == 0

        if not self.cores(['sleep', 'infinity'], sleeps):
            self.skipTest('core dumps do not go to the working directory here')
        self.assertEqual(self.cores([wherry_binary(), 'receive', '--listen', f'wherry://127.0.0.1:{PORT}', '--qemu',
                                     f'unix:{scratch()}/in'], listens), [])


if __name__ == '__main__':
    unittest.main()
