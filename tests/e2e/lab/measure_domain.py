"""measure_domain: one whole migration of a libvirt domain from host a to host b, and its figures. For benchmarks.

    with QemuEvents(hosts) as events:
        figures = measure_domain(hosts, events, hosts.a.virsh_command('migrate', '{name}', 'qemu+tcp://hostb/system'),
                                 ram_kib=307208, guest='pages=65536', downtime_ms=300, timeout=60)

command      the migration, on host a; {name} is the domain's name. Both hosts have a wherryd
guest        command line of tests/guest
downtime_ms  libvirt's downtime limit; Wherry has its own, in the URI
timeout      seconds; a migration that takes longer is aborted

Figures: total_s; downtime_ms (from STOP at the source to RESUME at the destination); start_ms (its part after the source's
QEMU reported completion). If the migration went through wherryd: `report`, with the predicted downtime and the messages from
wherryd's log. If it did not complete: `failure`, a text, and what is known besides. If it took too long: waiting_percent, the
share of a processor that Wherry's processes on both hosts took in the second half of the time.
"""
import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from .domain import Domain
from .process import end, wait_until

_TICK = os.sysconf('SC_CLK_TCK')


class QemuEvents:
    """QEMU's events of stops and migrations of all domains on both hosts, with QEMU's timestamps."""

    def __init__(self, hosts):
        self._said = {host: tempfile.NamedTemporaryFile() for host in hosts}
        # Not MIGRATION_PASS, which comes thousands of times a second.
        events = ('qemu-monitor-event', '--loop', '--regex', '--event', '^(STOP|RESUME|MIGRATION)$')
        self._listeners = [host.popen(host.virsh_command(*events), stdin=subprocess.DEVNULL, stdout=said, stderr=said)
                           for host, said in self._said.items()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for listener in self._listeners:
            end(listener)
        for said in self._said.values():
            said.close()

    def last(self, host, vm, name, **data):
        """When that event last came, in seconds; waits for it."""
        def times():
            lines = Path(self._said[host].name).read_text().splitlines()
            found = (re.match(rf"event {name} at ([\d.]+) for domain '?{vm.name}'?: (.*)", line) for line in lines)
            return [float(match[1]) for match in found
                    if match and data.items() <= (json.loads(match[2]) if match[2] != '<null>' else {}).items()]
        return wait_until(times, 10, f'{name} on {host.name}')[-1]


def _wherry_seconds(hosts):
    """Of each of Wherry's processes."""
    seconds = {}
    for pid in set().union(*(host.processes() for host in hosts)):
        with contextlib.suppress(OSError):  # it has just ended
            name, fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)
            if name.split('(', 1)[1] in ('wherry', 'wherryd'):
                seconds[pid] = sum(map(int, fields.split()[11:13])) / _TICK
    return seconds


def measure_domain(hosts, events, command, *, ram_kib, guest, downtime_ms, timeout):
    with Domain(hosts, append=guest, ram_kib=ram_kib) as vm:
        try:
            hosts.a.virsh('migrate-setmaxdowntime', vm.name, downtime_ms)
            return _migrate(hosts, events, [str(argument).format(name=vm.name) for argument in command], vm, timeout)
        except (RuntimeError, TimeoutError, AssertionError) as error:
            return {'failure': ' '.join(f'failed: {error}'.split())}


def _migrate(hosts, events, command, vm, timeout):
    logged, began = len(hosts.a.log('wherryd')), time.monotonic()
    process = hosts.a.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for _ in range(2):
        before = _wherry_seconds(hosts)
        with contextlib.suppress(subprocess.TimeoutExpired):
            said, _ = process.communicate(timeout=timeout / 2)
            break
    else:
        waiting = sum(seconds - before.get(pid, 0) for pid, seconds in _wherry_seconds(hosts).items())
        hosts.a.virsh('domjobabort', vm.name)
        process.communicate(timeout=30)
        return {'failure': f'did not finish in {timeout:g} s', 'waiting_percent': waiting / (timeout / 2) * 100}
    total_s = time.monotonic() - began
    if process.returncode:
        raise RuntimeError(f'{command[0]} ended with {process.returncode}: {said}')
    stop = events.last(hosts.a, vm, 'STOP')
    completed = events.last(hosts.a, vm, 'MIGRATION', status='completed')
    resume = events.last(hosts.b, vm, 'RESUME')
    vm.check_runs_on(hosts.b)
    figures = {'total_s': total_s, 'downtime_ms': (resume - stop) * 1000, 'start_ms': (resume - completed) * 1000}
    log = hosts.a.log('wherryd')[logged:]
    if ' is open ' in log:
        def over():
            return re.search(r'has ended .*\((\d+) predicted', hosts.a.log('wherryd')[logged:])
        ended = wait_until(over, 10, 'downtime in the log of wherryd')
        figures['report'] = {'downtime': {'predicted': {'total': int(ended[1])}},
                             'messages': [{'text': line} for line in log.splitlines()]}
    return figures
