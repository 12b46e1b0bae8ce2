"""Plain QEMU migration as a control, and the comparison of two stopped guests' RAM."""
import hashlib
import os
import shutil
import time

from .process import scratch

_PAGE = 4096
_BELOW_4G = 2 << 20  # KiB; up to here RAM is one range from address 0 on pc and q35


def native_migrate(src, dst, uri, *, multifd=0, capabilities=(), connect_uri=None, timeout=120, **parameters):
    """Migrates src to dst over QEMU's own transport. dst listens on `uri`, src connects to `connect_uri` (same).

    Returns total_ms, bytes, downtime_ms: from STOP at src to RESUME at dst; QEMU's own figure when dst stays paused.
    """
    for guest in (src, dst):
        guest.configure_migration(multifd, capabilities, **parameters)
    dst.execute('migrate-incoming', uri=uri)
    started = time.monotonic()
    src.execute('migrate', uri=connect_uri or uri)
    info = src.wait_migrated(timeout)
    result = {'total_ms': info.get('total-time', (time.monotonic() - started) * 1000), 'bytes': info['ram']['transferred']}
    return {**result, 'downtime_ms': downtime_ms(src, dst, info)}


def downtime_ms(src, dst, info):
    """`info`: query-migrate of src after completion."""
    dst.execute('query-status')  # receives events
    stops, resumes = ([e['time'] for e in guest.qmp.events if e['event'] == name]
                      for guest, name in ((src, 'STOP'), (dst, 'RESUME')))
    return (resumes[0] - stops[-1]) * 1000 if stops and resumes else info['downtime']


def compare_ram(src, dst):
    """Numbers of the pages that differ between two stopped guests."""
    if src.ram_kib != dst.ram_kib:
        raise ValueError('compare_ram needs two guests of one RAM size')
    directory = scratch('/dev/shm')
    try:
        paths = [os.path.join(directory, name) for name in ('src', 'dst')]
        for guest, path in zip((src, dst), paths):
            _save_ram(guest, path)
        with open(paths[0], 'rb') as left, open(paths[1], 'rb') as right:
            return list(_differing_pages(left, right))
    finally:
        shutil.rmtree(directory)


def page_hashes(guest):
    """A hash of each page of a stopped guest: for comparing guests on two machines."""
    directory = scratch('/dev/shm')
    try:
        _save_ram(guest, os.path.join(directory, 'ram'))
        with open(os.path.join(directory, 'ram'), 'rb') as file:
            return [hashlib.sha1(page).digest() for page in iter(lambda: file.read(_PAGE), b'')]
    finally:
        shutil.rmtree(directory)


def _save_ram(guest, path):
    if guest.ram_kib > _BELOW_4G:
        raise ValueError('RAM is compared up to 2 GiB')
    if guest.execute('query-status')['running']:
        raise ValueError('RAM is compared of stopped guests')
    guest.execute('pmemsave', val=0, size=guest.ram_kib * 1024, filename=path)


def _differing_pages(left, right, chunk=1 << 20):
    for first in range(0, os.fstat(left.fileno()).st_size, chunk):
        a, b = left.read(chunk), right.read(chunk)
        if a != b:
            for offset in range(0, len(a), _PAGE):
                if a[offset:offset + _PAGE] != b[offset:offset + _PAGE]:
                    yield (first + offset) // _PAGE
