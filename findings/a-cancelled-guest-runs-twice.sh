#!/usr/bin/env bash
# QEMU's migrate_cancel, sent when the guest has just stopped for its switchover, does not keep it from going: both QEMUs
# run it afterwards.
#
# What one would expect: a migration that its source reports as cancelled has left the guest at the source alone.
# What happens: the source has written all of the guest into its socket by then, and what is on its way arrives. The source
# says "cancelled" and resumes its guest; the destination, which was not started with -S, loads it and runs it as well, on
# the same disks. On a network that holds more than the last pass and the devices it does so nearly always.
# What helps: start the destination with -S, and say cont there only when the source has said "completed".
#
# Runs Debian trixie's QEMU 10.0.13 (machine pc, TCG, no disks) from a temporary folder, over tcp on loopback through a relay
# that holds each byte for 0.1 s and the end of the stream behind them, as a long network does. The capability return-path is
# on. Prints what came of six cancellations, and fails if fewer than four end with both guests running.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$dir.lock"' EXIT
tests/e2e/qemu-from-suite trixie "$dir"
"$dir/qemu-system-x86_64" --version | head -n 1
"$dir/qemu-system-x86_64" --version | grep -q 'version 10\.0\.' || { echo 'another version than was looked at'; exit 1; }

python3 - "$dir" <<'PYTHON'
import json, os, queue, socket, subprocess, sys, threading, time

directory = sys.argv[1]


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
            if 'return' in message or 'error' in message:
                return message.get('return')

    def wait_event(self, name):
        for line in self.lines:
            if json.loads(line).get('event') == name:
                return

    def status(self):
        return self.execute('query-status')['status']

    def end(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()


def carry(source, destination, delay):
    """What is read from the one goes to the other after that delay, and so does the end."""
    under_way = queue.Queue()

    def read():
        while data := source.recv(1 << 16):
            under_way.put((time.monotonic() + delay, data))
        under_way.put((time.monotonic() + delay, b''))

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            due, data = under_way.get()
            time.sleep(max(0, due - time.monotonic()))
            if not data:
                return destination.shutdown(socket.SHUT_WR)
            destination.sendall(data)
    except OSError:  # the other side has ended
        pass


def relay(listener, port):
    here, _ = listener.accept()
    there = socket.create_connection(('127.0.0.1', port))
    for ends in ((here, there), (there, here)):
        threading.Thread(target=carry, args=(*ends, 0.1), daemon=True).start()


both = 0
for attempt in range(6):
    port = 40000 + (os.getpid() + attempt) % 20000
    there = Qemu(f'there{attempt}', '-incoming', f'tcp:127.0.0.1:{port}')
    here = Qemu(f'here{attempt}')
    listener = socket.create_server(('127.0.0.1', 0))
    threading.Thread(target=relay, args=(listener, port), daemon=True).start()
    here.execute('migrate-set-capabilities', capabilities=[{'capability': 'return-path', 'state': True}])
    here.execute('migrate', uri=f'tcp:127.0.0.1:{listener.getsockname()[1]}')
    here.wait_event('STOP')
    time.sleep(0.02)
    here.execute('migrate_cancel')
    deadline = time.monotonic() + 5
    while here.status() != 'running' and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(1)  # for a destination that would still end
    said = here.execute('query-migrate')['status']
    runs = [here.status(), 'gone' if there.process.poll() is not None else there.status()]
    print(f'the source says {said} and is {runs[0]}, the destination is {runs[1]}')
    both += runs == ['running', 'running']
    here.end()
    there.end()
print(f'both guests run after {both} of 6 cancellations')
sys.exit(both < 4)
PYTHON
