"""Tests of the lab's two libvirt hosts: they are separate, leftovers are noticed, and no process outlives its test."""
import os
import subprocess
import sys
import unittest

from lab import Domain, Hosts, spawn, wait_until

LEAVER = '''
import sys
from lab import Domain, Hosts
with Hosts() as hosts, Domain(hosts):
    print(*(pid for host in hosts for pid in host.processes()), flush=True)
    sys.stdin.read()
'''


class TwoHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts())

    def test_each_is_a_host_of_its_own(self):
        a, b = self.hosts
        for host, other in ((a, b), (b, a)):
            self.assertEqual(host.run(['hostname']), host.name)
            self.assertEqual(host.run(['virsh', '-c', f'qemu+tcp://{other.name}/system', 'hostname']), other.name)
        for directory in ('/run', '/etc/libvirt', '/var/lib/libvirt', '/var/log/libvirt'):
            a.run(['touch', f'{directory}/of-host-a'])
            self.assertTrue(a.path(f'{directory}/of-host-a').exists())
            self.assertFalse(b.path(f'{directory}/of-host-a').exists() or os.path.exists(f'{directory}/of-host-a'))

    def test_a_command_that_fails(self):
        with self.assertRaisesRegex(RuntimeError, "hosta: virsh .* ended with 1: .*'nobody'"):
            self.hosts.a.virsh('start', 'nobody')

    def test_a_daemon_that_ends(self):
        self.hosts.b.start('daemon', ['sh', '-c', 'echo no luck; exit 3'])
        with self.assertRaisesRegex(RuntimeError, 'daemon on hostb ended with 3: no luck'):
            self.hosts.b.wait_listening('daemon', '/run/daemon.sock')

    def test_what_is_left_shows(self):
        before = self.hosts.holdings()
        with self.hosts.b.popen(['sleep', 'infinity']) as process:
            wait_until(lambda: self.hosts.holdings()['hostb: process sleep'] == 2, 10, 'second sleep')
            self.hosts.a.run(['touch', '/run/wherry/hostb/stale.sock'])
            with self.assertRaises(AssertionError) as raised:
                self.hosts.wait_nothing_left(before, timeout=0.1)
            for left in ('hostb: process sleep', 'hosta: file run/wherry/hostb/stale.sock'):
                self.assertIn(left, str(raised.exception))
            process.kill()
        self.hosts.a.run(['rm', '/run/wherry/hostb/stale.sock'])
        self.hosts.wait_nothing_left(before)


class Outliving(unittest.TestCase):
    def test_nothing_outlives_a_killed_test(self):
        lab = os.path.dirname(__file__)
        owner = spawn([sys.executable, '-c', LEAVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=lab)
        with owner:
            processes = owner.stdout.readline().split()
            self.assertEqual(len(processes), 7)  # three on each host, and the guest
            owner.kill()
        subprocess.run([sys.executable, '-c', 'from lab import Link; Link().close()'], cwd=lab, check=True)
        wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in processes), 10, 'end of all processes')


if __name__ == '__main__':
    unittest.main()
