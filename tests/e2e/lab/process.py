"""Child processes and scratch directories that do not outlive the test process.

Children get SIGKILL when the thread that started them ends (PR_SET_PDEATHSIG), so start them from a thread that lives
as long as they should. Scratch names contain the process id of their owner; the next process removes those of dead owners.
"""
import atexit
import ctypes
import functools
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

_libc = ctypes.CDLL(None)
_count = itertools.count(1)


def unique_name():
    """A name that contains this process's id, at most 16 characters; `owner_is_dead` tells whether that process has ended."""
    return f'wh-{os.getpid()}-{next(_count)}'


def owner_is_dead(name):
    match = re.match(r'wh-(\d+)-', name)
    return bool(match) and not os.path.exists(f'/proc/{match[1]}')


def spawn(argv, **popen_args):
    parent = os.getpid()

    def die_with_parent():
        _libc.prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen([str(a) for a in argv], preexec_fn=die_with_parent, **popen_args)


def end(process):
    if process.poll() is None:
        process.kill()
    return process.wait()


def in_namespace(netns, argv, cgroups=True):
    """`ip netns exec` hides control groups, because it mounts another /sys."""
    if not netns:
        return list(argv)
    return [*(['nsenter', f'--net=/run/netns/{netns}', '--'] if cgroups else ['ip', 'netns', 'exec', netns]), *argv]


def wait_until(condition, timeout, what, every=0.01):
    """Calls `condition` every `every` seconds until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f'no {what} within {timeout} s')
        time.sleep(every)
    return result


@functools.cache
def _remove_stale(base):
    for name in os.listdir(base):
        if owner_is_dead(name):
            shutil.rmtree(os.path.join(base, name), ignore_errors=True)


def scratch(base=None):
    """A new directory, removed when the process ends (or before, by the caller). '/dev/shm' as base: in memory."""
    base = base or tempfile.gettempdir()
    _remove_stale(base)
    path = os.path.join(base, unique_name())
    os.mkdir(path, 0o700)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
