"""Hosts: two hosts on this machine, each with its own libvirt, for migrations between them.

    with Hosts() as hosts:
        hosts.a.virsh('list')
        hosts.b.start('wherryd', ['wherryd', …])
        hosts.b.wait_listening('wherryd', '/run/wherry/wherryd.sock')

rate    of the link between them, as in Link
qemu    by host name: users and certificates for /etc/libvirt/qemu.conf; by default QEMU runs as root
suite   a Debian suite whose libvirt and QEMU are used instead of the installed ones: 'trixie' has 11.3 and 10.0. They are
        unpacked on first use (250 MB) and run in that tree; everything else on a host, such as Wherry, does not.
cgroups whether libvirt on host a puts its QEMUs into control groups of version 1, below /sys/fs/cgroup/cpu/machine. (On
        host b they would have the same names.)

A host is a network namespace (one end of `hosts.link`, which sets rates and cuts the cable), a mount namespace and a UTS
namespace, in which the installed virtlogd and libvirtd run. It has its own

    name                hosta, hostb; each resolves the other (/etc/hosts)
    host UUID           or libvirt would consider both the same host
    /run, /etc/libvirt, /var/lib/libvirt, /var/log/libvirt
                        in memory, empty at first, gone with the host. On this machine, only empty directories as mount
                        points are created, if they are missing

and shares everything else with this machine: programs, /tmp, /dev, process ids. What libvirt has learned about QEMU is kept
for the next run and for both hosts, because probing takes seconds. There is no D-Bus, no systemd, and no control group unless
requested. libvirtd also listens on TCP, without authentication.

Both hosts have /run/wherry/hosta and /run/wherry/hostb, for sockets named after the host that a migration goes to.

Needs root. Leaving the context kills what runs on the hosts. The next Hosts or Link removes what dead test processes left. For
one thread, except that `run` and `virsh` are thread-safe.
"""
import contextlib
import functools
import os
import subprocess
import uuid
from collections import Counter
from pathlib import Path

from .guest import CACHE, TESTS
from .link import Link
from .process import end, in_namespace, spawn, wait_until

_PRIVATE = ('/run', '/etc/libvirt', '/var/lib/libvirt', '/var/log/libvirt')
_MAKE_HOST = r'''
set -eu
name=$1 names=$2 cache=$3 root=$4
shift 4
hostname "$name"
mkdir -p "$cache" /var/cache/libvirt "$@"
mount --bind "$cache" /var/cache/libvirt
for directory; do mount -t tmpfs -o mode=755 "$name" "$directory"; done
printf '%s' "$names" >/run/hosts
mount --bind /run/hosts /etc/hosts
add() {  # add LINE FILE
  { cat "$2"; echo "$1"; } >"/run/${2##*/}"
  mount --bind "/run/${2##*/}" "$2"
}
add 'libvirt-qemu:x:64055:64055::/:/bin/false' /etc/passwd
add 'libvirt-qemu:x:64055:' /etc/group
mkdir -p /var/log/libvirt/qemu /run/wherry/hosta /run/wherry/hostb
# For all users: if libvirt can open it and QEMU cannot, libvirt probes QEMU again and again.
if [ -e /dev/kvm ]; then
  mknod -m 666 /run/kvm c 10 232
  mount --bind /run/kvm /dev/kvm
fi
if [ -n "$root" ]; then
  mount --bind "$root" "$root"  # libvirt makes a mount namespace for each QEMU, and needs a root that is a mount
  touch "$root/etc/hosts" "$root/etc/passwd" "$root/etc/group"
  for path in /etc/hosts /etc/passwd /etc/group /proc /sys /dev /tmp /var/cache/libvirt "$@"; do
    [ -e "$root$path" ] || mkdir -p "$root$path"
    mount --rbind "$path" "$root$path"
  done
  mount --rbind /run "$root/var/run"
fi
echo made
exec sleep infinity
'''
_LIBVIRTD = '''
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
'''
_QEMU_IS_ROOT = '''
user = "root"
group = "root"
'''
_QEMU = '''
security_driver = "none"
cgroup_controllers = [{}]
'''


@functools.cache
def _tree(suite):
    """A tree with libvirt and QEMU of that suite."""
    target = CACHE / f'libvirt-{suite}'
    subprocess.run([TESTS / 'e2e/qemu-from-suite', suite, target, 'base-files', 'libvirt-daemon', 'libvirt-daemon-log',
                    'libvirt-daemon-driver-qemu', 'libvirt-clients'], check=True)
    return target / 'root'


class Host:
    """One of the two; made by Hosts."""

    def __init__(self, name, netns, address, names, qemu, suite, cgroups):
        self.name, self._netns, self.address = name, netns, address
        root = _tree(suite) if suite else ''
        self._with_libvirt = ['chroot', root] if root else []
        self._daemons = {}
        self._holder = spawn(
            in_namespace(netns, ['unshare', '--mount', '--uts', '--propagation', 'private', 'sh', '-c', _MAKE_HOST,
                                 'sh', name, names, CACHE / f"libvirt-seen-{suite or 'installed'}", root, *_PRIVATE]),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self._holder.stdout.readline()
        if said != 'made\n':
            raise RuntimeError(f'{name} cannot be made: {said}{self._holder.stdout.read()}')
        self.path('/etc/libvirt/libvirtd.conf').write_text(_LIBVIRTD.format(uuid=uuid.uuid4()))
        self.path('/etc/libvirt/qemu.conf').write_text(_QEMU.format('"cpu"' if cgroups else '') + qemu)
        if cgroups:  # without systemd, libvirt 9.0 starts no QEMU if both versions exist
            self.run(['umount', '/sys/fs/cgroup/unified'])
        self.start('virtlogd', [*self._with_libvirt, 'virtlogd'])
        self.start('libvirtd', [*self._with_libvirt, 'libvirtd', '--listen'])

    def inside(self, argv):
        """The command that runs `argv` on this host."""
        return ['nsenter', '--target', str(self._holder.pid), '--mount', '--net', '--uts', '--', *argv]

    def path(self, path):
        """The path of a file of this host, usable from outside."""
        return Path(f'/proc/{self._holder.pid}/root{path}')

    def run(self, argv, stdin='', timeout=60):
        """Runs a command to its end and returns its output; raises with its messages if it fails."""
        argv = [str(argument) for argument in argv]
        done = subprocess.run(self.inside(argv), input=stdin, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def popen(self, argv, **popen_args):
        """A Popen on this host; the caller ends it."""
        return spawn(self.inside(argv), **popen_args)

    def start(self, name, argv):
        """Starts a daemon, which runs until the host ends, and returns its Popen. `log(name)` is its output."""
        with open(self._log(name), 'wb') as log:
            self._daemons[name] = self.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self._daemons[name]

    def wait_listening(self, name, socket):
        """Waits until the daemon can be reached at that unix socket."""
        def listening():
            if (code := self._daemons[name].poll()) is not None:
                raise RuntimeError(f'{name} on {self.name} ended with {code}: {self.log(name)}')
            return socket in self._listening()
        wait_until(listening, 20, f'{name} on {self.name}')

    def log(self, name):
        return self._log(name).read_text(errors='replace').strip()

    def kill(self, name):
        """Kills a daemon with SIGKILL."""
        self._daemons[name].kill()
        self._daemons[name].wait()

    def memory(self, name):
        """Resident memory of the daemon, in bytes."""
        pages = Path(f'/proc/{self._daemons[name].pid}/statm').read_text().split()[1]
        return int(pages) * os.sysconf('SC_PAGE_SIZE')

    def _log(self, name):
        return self.path(f'/run/{name}.log')

    def virsh_command(self, *arguments):
        return [*self._with_libvirt, 'virsh', '--quiet', '--connect', 'qemu:///system', *arguments]

    def virsh(self, *arguments, **run_args):
        return self.run(self.virsh_command(*arguments), **run_args)

    def wait_up(self):
        self.wait_listening('virtlogd', '/run/libvirt/virtlogd-sock')
        self.wait_listening('libvirtd', '/run/libvirt/libvirt-sock')
        self.virsh('uri')

    # What is there

    def processes(self):
        """Ids of all processes on this host."""
        listed = subprocess.run(['ip', 'netns', 'pids', self._netns], capture_output=True, text=True, check=True)
        return set(map(int, listed.stdout.split()))

    def _listening(self):
        """Paths of unix sockets with a listener."""
        lines = map(str.split, Path(f'/proc/{self._holder.pid}/net/unix').read_text().splitlines())
        return [fields[7] for fields in lines if fields[3] == '00010000' and len(fields) == 8]

    def holdings(self):
        """Counts of everything that can be left behind: processes, listening unix sockets, files below /run/wherry,
        descriptors of each daemon. `after - before` has what is new."""
        found = Counter(f'socket {path}' for path in self._listening())
        for pid in self.processes():
            with contextlib.suppress(OSError):  # the process has just ended
                found[f"process {Path(f'/proc/{pid}/comm').read_text().strip()}"] += 1
        files = self.path('/run/wherry').rglob('*')
        found.update(f"file {path.relative_to(self.path('/'))}" for path in files if not path.is_dir())
        for name, daemon in self._daemons.items():
            if daemon.poll() is None:
                found[f'descriptor of {name}'] = len(os.listdir(f'/proc/{daemon.pid}/fd'))
        return Counter({f'{self.name}: {what}': number for what, number in found.items()})

    def close(self):
        for process in (*self._daemons.values(), self._holder):
            end(process)
        self._holder.stdout.close()


class Hosts:
    def __init__(self, rate=None, qemu=lambda host: _QEMU_IS_ROOT, suite=None, cgroups=False):
        self.link = Link(rate)
        self._hosts = []
        try:
            names = ''.join(f'{self.link.address(side)} host{side}\n' for side in 'ab') + '127.0.0.1 localhost\n'
            for side in 'ab':
                name = f'host{side}'
                self._hosts.append(Host(name, self.link.netns(side), self.link.address(side), names, qemu(name), suite, cgroups and side == 'a'))
            for host in self:
                host.wait_up()
        except BaseException:
            self.close()
            raise

    def __iter__(self):
        return iter(self._hosts)

    @property
    def a(self):
        return self._hosts[0]

    @property
    def b(self):
        return self._hosts[1]

    def holdings(self):
        return sum((host.holdings() for host in self), Counter())

    def wait_nothing_left(self, before, timeout=10):
        """Waits until neither host has anything that it did not have at `before` (from holdings)."""
        try:
            wait_until(lambda: not self.holdings() - before, timeout, 'clean hosts')
        except TimeoutError:
            raise AssertionError(f'left behind: {dict(self.holdings() - before)}') from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for host in self:
            host.close()
        self.link.close()
