#!/usr/bin/env bash
# One pass of a migration makes all of a guest's shared RAM resident at the source, the pages too that the guest never touched.
#
# What one would expect: memory that nobody has written takes none. So it is with a guest's private RAM: QEMU reads each page
# to see whether it is zero, and the kernel shows it the one zero page that all share.
# What happens with shared RAM (memory-backend-memfd, memory-backend-file on tmpfs, memory-backend-ram,share=on): a page of a
# tmpfs file that is read is allocated, so after the first pass QEMU holds as much as the guest has, and keeps it. A host with many
# guests that use little of their RAM runs out of memory by moving them away. It is the same over any transport.
# What helps: room at the source for the whole guest, or private RAM (no memory-backend, or share=off).
#
# Runs Debian trixie's QEMU 10.0.13 (machine pc, TCG, no disks) from a temporary folder: a guest of 512 MiB that has only booted
# its firmware is migrated into nothing, once with each kind of RAM. Prints what QEMU has resident before and after, and fails
# unless the shared RAM was filled and the private one was not.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir" "$dir.lock"' EXIT
tests/e2e/qemu-from-suite trixie "$dir"
"$dir/qemu-system-x86_64" --version | head -n 1
"$dir/qemu-system-x86_64" --version | grep -q 'version 10\.0\.' || { echo 'another version than was looked at'; exit 1; }

python3 - "$dir" <<'PYTHON'
import json, os, re, socket, subprocess, sys, time

directory = sys.argv[1]
MIB = 512


def resident(process):
    """MiB of QEMU's that are in memory now."""
    with open(f'/proc/{process.pid}/status', encoding='ascii') as status:
        return int(re.search(r'VmRSS:\s+(\d+) kB', status.read())[1]) // 1024


def before_and_after(backend):
    path = os.path.join(directory, 'monitor')
    qemu = subprocess.Popen([os.path.join(directory, 'qemu-system-x86_64'), '-nodefaults', '-display', 'none', '-m', str(MIB),
                             '-object', f'{backend},id=ram,size={MIB}M', '-machine', 'pc,memory-backend=ram',
                             '-qmp', f'unix:{path},server=on,wait=off'])
    try:
        with socket.socket(socket.AF_UNIX) as monitor:
            while monitor.connect_ex(path):
                time.sleep(0.01)
            lines = monitor.makefile('r')
            lines.readline()

            def execute(command, **arguments):
                monitor.sendall(json.dumps({'execute': command, 'arguments': arguments}).encode())
                for line in lines:
                    if 'return' in (message := json.loads(line)):
                        return message['return']
            execute('qmp_capabilities')
            time.sleep(3)  # for the firmware
            before = resident(qemu)
            execute('migrate', uri='exec:cat >/dev/null')
            while (status := execute('query-migrate')['status']) not in ('completed', 'failed'):
                time.sleep(0.05)
            return before, resident(qemu), status
    finally:
        qemu.kill()
        qemu.wait()
        os.unlink(path)


filled = {}
for backend in ('memory-backend-ram,share=off', 'memory-backend-ram,share=on', 'memory-backend-memfd,share=on'):
    before, after, status = before_and_after(backend)
    print(f'{backend}: {before} MiB resident before, {after} after a migration that {status}')
    filled[backend] = status == 'completed' and after - before > 0.9 * MIB
sys.exit(list(filled.values()) != [False, True, True])
PYTHON
