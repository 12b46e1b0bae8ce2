"""Two hosts with libvirt as Debian ships it: `virsh migrate` from one to the other, without Wherry and through it.

The transport contract: hostb's QEMU waits at /run/wherry/hostb/ID.sock on hostb, where libvirt has it listen; a wherry
listens at the same path on hosta, where libvirt has the source's QEMU connect. libvirt knows of no Wherry.
libvirt and QEMU are the installed ones, or with WHERRY_LIBVIRT_SUITE=trixie those of that suite.

Whatever happens, the guest runs on exactly one host and finds its memory right, and nothing is left on either.
"""
import contextlib
import os
import unittest
from concurrent.futures import ThreadPoolExecutor

from lab import PAGES, Domain, Hosts, Wherry, wait_until

DRIVEN = {'by_client': (), 'p2p': ('--p2p',)}
CONNECTIONS = {'single': (), 'parallel': ('--parallel', '--parallel-connections', '4')}


class Libvirt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts(suite=os.environ.get('WHERRY_LIBVIRT_SUITE')))

    def setUp(self):
        self.addCleanup(self.hosts.wait_nothing_left, self.hosts.holdings())

    def check_native(self, options):
        with Domain(self.hosts) as vm:
            vm.migrate(*options)
            vm.check_runs_on(self.hosts.b)

    def path(self, vm):
        return f'/run/wherry/hostb/{vm.name}.sock'

    @contextlib.contextmanager
    def wherries(self, vm):
        """wherry send on hosta and wherry receive on hostb, ready; and libvirt's option that makes use of them."""
        path = self.path(vm)
        with Wherry.receive('wherry://hostb', path, host=self.hosts.b) as receiver:
            receiver.wait_listening()
            with Wherry.send(path, 'wherry://hostb', host=self.hosts.a) as sender:
                sender.wait_for_socket()
                try:
                    yield sender, receiver, ('--migrateuri', f'unix://{path}')
                except BaseException as error:
                    for name, wherry in (('send', sender), ('receive', receiver)):
                        error.add_note(f'wherry {name} ({wherry.returncode}): {wherry.stderr}')
                    raise

    def check(self, options):
        with Domain(self.hosts) as vm, self.wherries(vm) as (sender, receiver, through):
            vm.migrate(*through, *options)
            self.assertEqual((sender.wait(10), receiver.wait(10)), (0, 0))
            vm.check_runs_on(self.hosts.b)
            for report in (sender.report, receiver.report):
                self.assertEqual((report['status'], report['placement'], report['opaque']), ('completed', 'relay', {}))
                self.assertIn('no --qmp', report['placement_reason'])
            self.assertGreater(sender.report['guest_bytes'], PAGES * 4096)

    def check_aborted(self, options):
        with Domain(self.hosts) as vm, self.wherries(vm) as (sender, receiver, through), ThreadPoolExecutor() as pool:
            migrating = pool.submit(vm.migrate, *through, '--bandwidth', '4', *options)
            wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
            self.hosts.a.virsh('domjobabort', vm.name)
            self.assertRegex(str(migrating.exception()), 'canceled by client')
            vm.check_runs_on(self.hosts.a)
            for wherry in (sender, receiver):
                self.assertEqual(wherry.wait(10), 1)
                self.assertRegex(wherry.stderr, "source's QEMU")
            # libvirt kills the destination's QEMU, whose socket then stays, with any transport.
            self.hosts.b.path(self.path(vm)).unlink(missing_ok=True)


for driven, how in DRIVEN.items():
    setattr(Libvirt, f'test_native_{driven}', lambda self, h=how: self.check_native(h))
    for connections, many in CONNECTIONS.items():
        setattr(Libvirt, f'test_{driven}_{connections}', lambda self, o=(*how, *many): self.check(o))
for connections, many in CONNECTIONS.items():
    setattr(Libvirt, f'test_aborted_{connections}', lambda self, o=many: self.check_aborted(o))

if __name__ == '__main__':
    unittest.main()
