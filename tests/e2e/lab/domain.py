"""Domain: the test guest as a libvirt domain of Hosts. It starts on host a, and is ready when the context is entered.

    with Domain(hosts) as vm:
        vm.migrate('--p2p')
        vm.check_runs_on(hosts.b)

append      the guest's command line
ram_kib     RAM of the guest
own_qmp     whether QEMU has a monitor besides libvirt's
disk        size in bytes of a disk, with random content on host a and zeros on host b

`name` is the domain's name, `console[host]` the guest's Console on that host. Leaving the context removes the domain from
both hosts. An exception that leaves the context gets QEMU's messages.
"""
import contextlib
import itertools
import os
import shutil

from .console import Console
from .guest import guest_kernel
from .pair import PAGES

# libvirt's messages, as a pattern, for an aborted migration. QEMU (7.2 to 10.0 at least) shuts its channel before its status is
# `cancelling`. If its migration thread notices the channel first, the migration fails, and libvirt reports that error.
ABORTED = 'canceled by client|unexpectedly failed|unexpectedly closed the monitor'

_XML = '''
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='KiB'>{ram_kib}</memory>
  <os>
    <type machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <cmdline>{append}</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{console}'/></serial>
    {disk}
  </devices>
  <qemu:commandline>{arguments}</qemu:commandline>
</domain>
'''
_DISK = '''
<disk type='file' device='disk'>
  <driver name='qemu' type='raw'/><source file='{}'/><target dev='vda' bus='virtio'/>
</disk>
'''
_KERNEL = '/var/lib/libvirt/guest.elf'  # readable for any user
_count = itertools.count(1)


def _ram(kib):
    """libvirt rounds RAM up to whole MiB, and with such a size QEMU 7.2 under TCG loses dirty pages (see Guest). So this gives
    QEMU another size without libvirt's knowledge."""
    return ['-object', f'memory-backend-memfd,id=guest.ram,size={kib}K,share=on', '-machine', 'memory-backend=guest.ram',
            '-m', f'{kib}k']


class Domain:
    def __init__(self, hosts, append=f'pages={PAGES} rate=2000 verify=30000', disk=0, own_qmp=False, ram_kib=131080):
        self.hosts, self.name = hosts, f'vm{next(_count)}'
        console = self._log('console')
        self.console = {host: Console(host.path(console), self._check_alive) for host in hosts}
        self._image = f'/var/lib/libvirt/{self.name}.img'
        if disk:
            hosts.a.path(self._image).write_bytes(os.urandom(disk))
            with open(hosts.b.path(self._image), 'wb') as copy:
                copy.truncate(disk)
        arguments = [*_ram(ram_kib), *(['-qmp', f'unix:/run/{self.name}.qmp,server=on,wait=off'] if own_qmp else [])]
        xml = _XML.format(name=self.name, ram_kib=ram_kib, kernel=_KERNEL, append=append, console=console,
                          disk=_DISK.format(self._image) if disk else '',
                          arguments=''.join(f"<qemu:arg value='{argument}'/>" for argument in arguments))
        for host in hosts:
            shutil.copy(guest_kernel(), host.path(_KERNEL))
        try:
            hosts.a.virsh('define', '/dev/stdin', stdin=xml)
            hosts.a.virsh('start', self.name)
            self.console[hosts.a].wait_ready()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def disk(self, host):
        """The content of its disk on a host."""
        return host.path(self._image).read_bytes()

    def write_disk(self, at, length, byte, host):
        """Writes to the disk through QEMU, as the guest would."""
        write = f'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P {byte} {at} {length}"'
        if said := host.virsh('qemu-monitor-command', '--hmp', self.name, write):
            raise RuntimeError(f'{self.name} cannot write to its disk: {said}')

    def _log(self, kind):
        return f'/var/log/libvirt/qemu/{self.name}.{kind}'

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for host in self.hosts:
            if error is not None:
                with contextlib.suppress(FileNotFoundError):  # it was never there
                    said = host.path(self._log('log')).read_text(errors='replace')
                    error.add_note(f'QEMU on {host.name}: {said}')
            for command in ('destroy', 'undefine'):
                with contextlib.suppress(RuntimeError):  # nothing to do
                    host.virsh(command, self.name)

    def state(self, host):
        """The domain's state in virsh's words: 'running', 'shut off' …; None if the host has no such domain."""
        try:
            return host.virsh('domstate', self.name)
        except RuntimeError as error:
            if 'failed to get domain' in str(error):
                return None
            raise

    def _check_alive(self):
        states = [self.state(host) for host in self.hosts]
        if 'running' not in states:
            raise RuntimeError(f'{self.name} runs nowhere: {states}')

    # Migration

    def migrate(self, *options, live=True, source=None, to=None, **run_args):
        """virsh migrate to host b (or from `source` to the libvirt URI `to`), until its end. Raises virsh's message if it
        fails."""
        to = to or f'qemu+tcp://{self.hosts.b.name}/system'
        (source or self.hosts.a).virsh('migrate', *(['--live'] if live else []), *options, self.name, to, **run_args)

    def job(self, *options):
        """Figures of the running job on host a, under libvirt's names ('memory_processed': bytes …); with '--completed' those
        of the last job."""
        lines = self.hosts.a.virsh('domjobinfo', '--rawstats', *options, self.name).splitlines()
        fields = (line.split(':', 1) for line in lines if ':' in line)
        return {name.strip(): value.strip() for name, value in fields}

    def check_runs_on(self, host):
        """Checks that the domain runs on that host only, and that its guest runs and finds every page right."""
        for each in self.hosts:
            state = self.state(each)
            if (state == 'running') != (each is host) or state not in ('running', 'shut off', None):
                raise AssertionError(f'{self.name} on {each.name}: {state}')
        console = self.console[host]
        console.wait_verified(PAGES, passed_ticks=len(console.ticks()))
        if bad := [line for console in self.console.values() for line in console.bad()]:
            raise AssertionError(f'the guest found {bad[:10]}')
