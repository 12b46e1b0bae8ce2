"""Two hosts, each with libvirt and a wherryd: `wherry migrate DOMAIN DEST`.

Whatever happens, the guest runs on exactly one host and its memory is right.
"""
import json
import re
import signal
import subprocess
import unittest

from lab import ABORTED, Domain, Hosts, wait_until, wherry_binary
from test_wherryd import start_daemons

TCP = 'qemu+tcp://hostb/system'


class MigrateDomain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts())
        start_daemons(cls.hosts)

    def migrate(self, vm, to='hostb', *options, live=True):
        return self.hosts.a.run([wherry_binary(), 'migrate', vm if isinstance(vm, str) else vm.name, to,
                                 *(['--live'] if live else []), *options])

    def start(self, vm, *options):
        """Starts the command and waits until a megabyte is sent. The caller waits for its end."""
        process = self.hosts.a.popen([wherry_binary(), 'migrate', '--live', '--json', vm.name, 'hostb', *options],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        wait_until(lambda: int(vm.job().get('memory_processed', 0)) > 1 << 20, 20, 'migration under way')
        return process

    def check_failed(self, process, pattern, code=1):
        """The command ends with that status and message; returns the last line that it printed."""
        said, why = process.communicate(timeout=30)
        self.assertEqual(process.returncode, code, why)
        self.assertRegex(why, pattern)
        return json.loads(said.splitlines()[-1])

    def check_refused(self, why, *arguments, **kwargs):
        with self.assertRaisesRegex(RuntimeError, why):
            self.migrate(*arguments, **kwargs)

    def test_to_a_peer(self):
        with Domain(self.hosts) as vm:
            said = self.migrate(vm, 'hostb', '--via', 'wherry://hostb?streams=3', '--json')
            vm.check_runs_on(self.hosts.b)
            end = json.loads(said.splitlines()[-1])
            self.assertEqual((end['status'], end['percent']), ('completed', 100))
            self.assertGreater(end['bytes'], 1 << 20)
            self.assertIn('downtime_ms', end)

    def test_to_a_libvirt(self):
        with Domain(self.hosts) as vm:
            said = self.migrate(vm, TCP)
            vm.check_runs_on(self.hosts.b)
            self.assertRegex(said, r'(?s)migration completed\n  total .* s\n  downtime .* ms\n  moved .* passes')

    def test_p2p_not_live(self):
        with Domain(self.hosts) as vm:
            self.migrate(vm, 'hostb', '--p2p', live=False)
            vm.check_runs_on(self.hosts.b)
        with Domain(self.hosts) as vm:
            self.hosts.a.virsh('suspend', vm.name)
            self.migrate(vm, 'hostb', '--p2p', live=False)
            self.assertEqual(vm.state(self.hosts.b), 'paused')
            self.hosts.b.virsh('resume', vm.name)
            vm.check_runs_on(self.hosts.b)

    def test_storage_moves_along(self):
        with Domain(self.hosts, disk=8 << 20) as vm:
            self.migrate(vm, 'hostb', '--copy-storage-all')
            vm.check_runs_on(self.hosts.b)
            self.assertEqual(vm.disk(self.hosts.a), vm.disk(self.hosts.b))

    def test_offline(self):
        with Domain(self.hosts) as vm:
            self.hosts.a.virsh('destroy', vm.name)
            self.migrate(vm, 'hostb', '--offline', '--persistent', '--undefinesource', live=False)
            self.assertEqual((vm.state(self.hosts.a), vm.state(self.hosts.b)), (None, 'shut off'))

    def test_as_virsh_does(self):
        with Domain(self.hosts) as vm:
            there = f'{vm.name}-there'
            self.migrate(vm, TCP, '--suspend', '--persistent', '--undefinesource', '--dname', there,
                         '--parallel', '--parallel-connections', '3')
            self.assertIsNone(vm.state(self.hosts.a))
            vm.name = there
            self.assertEqual(vm.state(self.hosts.b), 'paused')
            self.assertIn(there, self.hosts.b.virsh('list', '--persistent', '--name'))
            self.hosts.b.virsh('resume', there)
            vm.check_runs_on(self.hosts.b)

    def test_interrupted(self):
        with Domain(self.hosts) as vm:
            process = self.start(vm, '--bandwidth', '4')
            process.send_signal(signal.SIGINT)
            end = self.check_failed(process, 'SIGINT.*the guest still runs at the source', 128 + signal.SIGINT)
            self.assertEqual(end['status'], 'cancelled')
            self.assertEqual(vm.job()['Job type'], '0')  # none
            vm.check_runs_on(self.hosts.a)
            self.assertIsNone(vm.state(self.hosts.b))

    def test_aborted_by_another(self):
        with Domain(self.hosts) as vm:
            process = self.start(vm, '--bandwidth', '4')
            self.hosts.a.virsh('domjobabort', vm.name)
            end = self.check_failed(process, f'(?s)({ABORTED}).*; the guest still runs at the source')
            self.assertEqual(end['status'], 'cancelled' if 'canceled by client' in end['error'] else 'failed')
            vm.check_runs_on(self.hosts.a)

    def test_timeout_suspends(self):
        with Domain(self.hosts) as vm:
            # At that rate the migration would take half a minute and never converge.
            process = self.start(vm, '--bandwidth', '2', '--timeout', '1')
            wait_until(lambda: vm.state(self.hosts.a) == 'paused', 20, 'suspended guest')
            self.hosts.a.virsh('migrate-setspeed', vm.name, '1000')
            self.assertEqual(process.wait(timeout=30), 0)
            vm.check_runs_on(self.hosts.b)

    def test_postcopy(self):
        with Domain(self.hosts) as vm:
            # At that rate the guest dirties more in the first pass than fits into the downtime, so there is a second pass.
            self.migrate(vm, 'hostb', '--postcopy', '--postcopy-after-precopy', '--bandwidth', '4')
            vm.check_runs_on(self.hosts.b)
            self.assertIn('placement: relay (postcopy is enabled)', self.hosts.b.log('wherryd'))

    def test_wrong_names(self):
        self.check_refused("ended with 1.*no domain with matching name 'nobody'", 'nobody')
        with Domain(self.hosts) as vm:
            self.check_refused(r'ended with 1.*no peer hostx.*--peer hostx=ADDRESS', vm, 'hostx')
            self.check_refused(r'ended with 1.*cannot resolve hostx', vm, TCP, '--via', 'wherry://hostx')
            self.check_refused(r'ended with 1.*does wherryd run', vm, 'hostb', '--runtime-dir', '/nowhere')
            self.check_refused(r'ended with 1.*a/b\.log.*; the guest still runs at the source', vm, TCP, '--dname', 'a/b')
            vm.check_runs_on(self.hosts.a)


if __name__ == '__main__':
    unittest.main()
