#!/usr/bin/env bash
# A postcopy migration whose connection is lost behind its last page, but before the destination has said that it is complete,
# leaves the guest running on both hosts.
#
# What one would expect: in postcopy the source never lets the guest go on, for it runs at the destination. A connection that is
# lost pauses the migration ("postcopy-paused"), to be recovered.
# What happens: that holds while pages are missing. A source that has sent all of them waits for the destination's last word
# (SHUT), and takes the loss of its connection for a failure of the whole migration: it says "failed" and resumes its guest. The
# destination has all pages by then, says "completed", and runs it as well. Where the guest has disks, QEMU 10.1 and later find
# their locks taken, and leave it stopped.
# What helps: whoever manages the QEMUs stops the source's when it fails in postcopy (its query-migrate has been
# "postcopy-active"), and asks the destination's first; a proxy keeps the source's connection open until it has that word.
#
# Runs Debian trixie's QEMU 10.0.13 (machine pc, TCG, no disks) from a temporary folder, over tcp on loopback through a relay
# that drops SHUT and then closes both connections. Needs userfaultfd (root). Prints what came of three migrations, and fails if
# fewer end with both guests running. QEMU 11.1.3 does the same; 7.2.22 waits in "postcopy-active" for ever, with the guest at
# the destination alone.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$dir.lock"' EXIT
tests/e2e/qemu-from-suite trixie "$dir"
"$dir/qemu-system-x86_64" --version | head -n 1
"$dir/qemu-system-x86_64" --version | grep -q 'version 10\.0\.' || { echo 'another version than was looked at'; exit 1; }

python3 - "$dir" <<'PYTHON'
import json, os, socket, struct, subprocess, sys, threading, time

directory = sys.argv[1]
SHUT = 1  # a message of the way back: its type and its length in 16 bits each, and what it carries


class Qemu:
    def __init__(self, name, *extra):
        path = os.path.join(directory, name)
        self.process = subprocess.Popen([os.path.join(directory, 'qemu-system-x86_64'), '-nodefaults', '-display', 'none',
                                         '-machine', 'pc', '-m', '256', '-qmp', f'unix:{path},server=on,wait=off', *extra])
        self.socket = socket.socket(socket.AF_UNIX)
        while self.socket.connect_ex(path):
            time.sleep(0.01)
        self.lines = self.socket.makefile('r')
        json.loads(self.lines.readline())
        self.execute('qmp_capabilities')

    def execute(self, command, **arguments):
        self.socket.sendall(json.dumps({'execute': command, 'arguments': arguments}).encode())
        for line in self.lines:
            message = json.loads(line)
            if 'error' in message:
                raise RuntimeError(f'{command}: {message["error"]["desc"]}')
            if 'return' in message:
                return message['return']

    def states(self):
        return [self.execute('query-migrate')['status'], self.execute('query-status')['status']]

    def wait(self, *states):
        deadline = time.monotonic() + 20
        while (seen := self.states()[0]) not in states:
            if time.monotonic() > deadline:
                raise RuntimeError(f'still {seen} instead of {states}')
            time.sleep(0.01)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()


def relay(listener, port):
    here, _ = listener.accept()
    there = socket.create_connection(('127.0.0.1', port))

    def forth():
        try:
            while data := here.recv(1 << 16):
                there.sendall(data)
        except OSError:  # closed below
            pass
    threading.Thread(target=forth, daemon=True).start()
    back = there.makefile('rb')
    while len(head := back.read(4)) == 4:
        kind, length = struct.unpack('>HH', head)
        message = head + back.read(length)
        if kind == SHUT:
            break
        here.sendall(message)
    for end in (here, there):
        end.shutdown(socket.SHUT_RDWR)


both = 0
for attempt in range(3):
    port = 40000 + (os.getpid() + attempt) % 20000
    here = Qemu(f'here{attempt}')
    there = Qemu(f'there{attempt}', '-incoming', 'defer')
    for qemu in here, there:
        qemu.execute('migrate-set-capabilities',
                     capabilities=[{'capability': name, 'state': True} for name in ('return-path', 'postcopy-ram')])
    there.execute('migrate-incoming', uri=f'tcp:127.0.0.1:{port}')
    here.execute('migrate-set-parameters', **{'max-bandwidth': 100000})
    listener = socket.create_server(('127.0.0.1', 0))
    threading.Thread(target=relay, args=(listener, port), daemon=True).start()
    here.execute('migrate', uri=f'tcp:127.0.0.1:{listener.getsockname()[1]}')
    here.wait('active')
    here.execute('migrate-start-postcopy')
    here.wait('failed', 'completed', 'postcopy-paused')
    there.wait('completed', 'failed', 'postcopy-paused')
    time.sleep(0.5)
    seen = here.states(), there.states()
    print('the source is {}, {}; the destination is {}, {}'.format(*seen[0], *seen[1]), flush=True)
    both += [runs for _, runs in seen] == ['running', 'running']
    here.end()
    there.end()
print(f'both guests run after {both} of 3 migrations by postcopy')
sys.exit(both < 3)
PYTHON
