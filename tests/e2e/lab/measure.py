"""measure: one whole migration over its own link, by QEMU alone or by Wherry, and its figures. For benchmarks.

    figures = measure(Way(2, 'streams=2'), version='10.0', rate='1gbit', ram_kib=524296, guest='pages=65536 rate=500',
                      downtime_ms=300, timeout=45)

rate     of the link, as in Link            guest    command line of tests/guest
paused   stops the guest first              timeout  seconds; a migration that takes longer is cancelled

`door` chooses `wherry send` and `wherry receive`, or `wherry migrate` between the two monitors. Both ends of the latter are on
host a, and use the rate of loopback.

Figures: total_s, wire_mb, cpu_s_per_gb (of all processes, including a running guest's own work). For a running guest:
downtime_ms (from STOP at the source to RESUME at the destination), touches_per_s (before the migration), work_per_s (touches
per second of the migration), work_part (work_per_s / touches_per_s) and lost_s (the lost work, in seconds of the guest's work
before the migration). For Wherry: the sender's `report`, and start_ms, the part of the downtime after all pages and devices.
If it did not complete: `failure`, a text, and what is known besides. If it took too long: waiting_percent, the share of a
processor that Wherry took meanwhile.
"""
import os
import resource
import subprocess
from typing import NamedTuple

from .guest import Guest
from .link import Link
from .migration import downtime_ms as downtime_ms_of
from .process import wait_until
from .qmp import QmpError
from .states import ENDED
from .wherry import Wherry

_TICK = os.sysconf('SC_CLK_TCK')


class Way(NamedTuple):
    channels: int = 0        # number of multifd channels
    keys: str | None = None  # keys of Wherry's URI; None for QEMU alone
    capabilities: tuple = ()
    parameters: dict = {}
    door: str = 'send'       # how Wherry is used: send or migrate


def _processor_seconds(process):
    with open(f'/proc/{process.pid}/stat') as stat:
        fields = stat.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _sent_bytes(link, device):
    counter = ['ip', 'netns', 'exec', link.netns('a'), 'cat', f'/sys/class/net/{device}/statistics/tx_bytes']
    return int(subprocess.check_output(counter))


def _touches_per_second(guest):
    def seconds(_):
        ticks = guest.ticks()
        return ticks and ticks[-1]['tick'] >= ticks[0]['tick'] + 2
    guest.wait_console(seconds, 15, 'ticks of the guest')
    first, last = guest.ticks()[0], guest.ticks()[-1]
    return (last['touched'] - first['touched']) / (last['tick'] - first['tick'])


def _cancel(src, wherries):
    """Cancels a running migration. Returns what to add to its failure if it did not end."""
    try:
        src.execute('migrate_cancel')
        wait_until(lambda: src.execute('query-migrate')['status'] in ENDED, 10, 'end of the cancelled migration')
        for wherry in wherries:
            wherry.wait(10)
        return ''
    except (QmpError, OSError) as error:
        return f', and cancelling failed: {error}'


def measure(way, *, version, rate, ram_kib, guest, downtime_ms, timeout, paused=False):
    with Link(rate) as link, \
            Guest(version, ram='private', ram_kib=ram_kib, append=guest, netns=link.netns('a')) as src, \
            Guest(version, ram='memfd', ram_kib=ram_kib, append=guest, incoming=True, autostart=way.door == 'send',
                  netns=link.netns('b')) as dst:
        if way.door == 'migrate':
            link.set_rate('a', rate, 'lo')
        src.wait_ready()
        if paused:
            src.stop()
            return _transfer(way, link, src, dst, downtime_ms, timeout, paused)
        before = _touches_per_second(src)
        figures = _transfer(way, link, src, dst, downtime_ms, timeout, paused)
        if before and 'work_per_s' in figures:
            figures['work_part'] = figures['work_per_s'] / before
        if 'work_part' in figures and 'total_s' in figures:
            figures['lost_s'] = figures['total_s'] * (1 - figures['work_part'])
        return {'touches_per_s': before, **figures}


def _transfer(way, link, src, dst, downtime_ms, timeout, paused):
    wherries, device, uri = [], 'lo' if way.door == 'migrate' else 'cable', None
    try:
        for guest in (src, dst):
            guest.configure_migration(way.channels, way.capabilities, downtime_limit=downtime_ms, **way.parameters)
        if way.keys is None:
            uri = f"tcp:{link.address('b')}:4444"
            dst.execute('migrate-incoming', uri=uri)
        elif way.door == 'migrate':
            via = f'wherry://127.0.0.1:0?{way.keys}&downtime={downtime_ms}ms'
            wherries.append(Wherry.migrate(src.qmp_path, dst.qmp_path, via, netns=link.netns('a')))
        else:
            dst.execute('migrate-incoming', uri=f"unix:{dst.path('in')}")
            wherries.append(Wherry.receive(f"wherry://{link.address('b')}", dst.path('in'), qmp=dst.qmp_path,
                                           netns=link.netns('b')))
            wherries[0].wait_listening()
            to = f"wherry://{link.address('b')}?{way.keys}&downtime={downtime_ms}ms"
            wherries.append(Wherry.send(src.path('out'), to, qmp=src.qmp_path, netns=link.netns('a')))
            wherries[1].wait_for_socket()
            uri = f"unix:{src.path('out')}"
        before = _processor_seconds(src.process) + _processor_seconds(dst.process)
        children = _children_seconds()
        waiting = sum(_processor_seconds(wherry.process) for wherry in wherries)
        wire = _sent_bytes(link, device)
        touched = src.touched()
        if uri:
            src.execute('migrate', uri=uri)
        try:
            info = src.wait_migrated(timeout, every=0.1)  # each poll takes QEMU's time too
        except TimeoutError:
            waiting = sum(_processor_seconds(wherry.process) for wherry in wherries) - waiting
            figures = {'wire_mb': (_sent_bytes(link, device) - wire) / 1e6,
                       'work_per_s': (src.touched() - touched) / timeout, 'waiting_percent': waiting / timeout * 100}
            also = _cancel(src, wherries)
            if wherries and not also:
                figures['report'] = wherries[-1].report
            return {'failure': f'did not finish in {timeout:g} s{also}', **figures}
        if any([wherry.wait() for wherry in wherries]):
            raise RuntimeError('the guest has moved, but Wherry ended with an error')
        seconds = _processor_seconds(src.process) + _processor_seconds(dst.process) - before
        if wherries:
            seconds += _children_seconds() - children
        dst.wait_console(lambda _: dst.status() != 'inmigrate', 10, 'destination that has loaded')
        pages = info['ram']['normal'] + info.get('xbzrle-cache', {}).get('pages', 0)
        total_s = info['total-time'] / 1000
        figures = {'total_s': total_s, 'wire_mb': (_sent_bytes(link, device) - wire) / 1e6,
                   'cpu_s_per_gb': seconds / (pages * 4096 / 1e9)}
        if not paused:
            figures['downtime_ms'] = downtime_ms_of(src, dst, info)
            figures['work_per_s'] = (src.touched() - touched) / total_s
            dst.wait_console(lambda _: dst.ticks(), 10, 'tick of the guest at the destination')
            if bad := src.bad() + dst.bad():
                raise RuntimeError(f'the guest found {bad[:3]}')
        if wherries:
            figures['report'] = wherries[-1].report
        if wherries and not paused:
            measured = figures['report']['downtime']['measured']
            figures['start_ms'] = figures['downtime_ms'] - measured['pages'] - measured['placed']
        return figures
    except (RuntimeError, QmpError, TimeoutError, ConnectionError) as error:
        also = [text for text in (dst.stderr(), *[wherry.stderr for wherry in wherries]) if text not in str(error)]
        return {'failure': ' '.join(' '.join([f'failed: {error}', *also]).split())}
    finally:
        for wherry in wherries:
            wherry.close()
