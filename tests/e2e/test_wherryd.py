"""Two hosts, each with libvirt and a wherryd: `virsh migrate` with a wherry:// URI.

libvirt, QEMU and virsh are as Debian ships them. Whatever happens, the guest runs on exactly one host and finds its memory
right, and nothing is left on either.
"""
import json
import os
import unittest
from concurrent.futures import ThreadPoolExecutor

from lab import PAGES, Domain, Hosts, wait_until, wherry_binary

GATEWAY = 'qemu+unix:///system?socket=/run/wherry/hostb/libvirt-sock'


class Wherryd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts())
        for host, other in ((cls.hosts.a, 'hostb'), (cls.hosts.b, 'hosta')):
            host.start('wherryd', [wherry_binary('wherryd'), '--listen', f'wherry://{host.name}', '--peer', f'{other}={other}',
                                   '--insecure'])
            host.wait_listening('wherryd', '/run/wherry/wherryd.sock')
            host.wait_listening('wherryd', f'/run/wherry/{other}/libvirt-sock')

    def setUp(self):
        self.addCleanup(self.hosts.wait_nothing_left, self.hosts.holdings())

    def status(self, host):
        return json.loads(host.run([wherry_binary(), 'status', '--json']))

    def check(self, *options, uri='wherry://hostb?streams=4&downtime=100ms'):
        with Domain(self.hosts) as vm:
            vm.migrate('--migrateuri', uri, *options, to=GATEWAY)
            vm.check_runs_on(self.hosts.b)

    def test_the_line_of_the_readme(self):
        self.check()

    def test_p2p(self):
        self.check('--p2p')

    def test_parallel(self):
        self.check('--parallel', '--parallel-connections', '4')


if __name__ == '__main__':
    unittest.main()
