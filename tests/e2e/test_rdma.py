"""Wherry over RDMA, in VMs with soft-RoCE: sessions of the unit tests, real guests, failures of the network.

The migrations of guests are in tests/verbs/migrations.py, which runs in the VMs. unit_tests and far_end must be in the
directory of $WHERRY_BIN, or in build/release.
"""
import os
import shutil
import subprocess
import tempfile
import unittest

from lab import guest_kernel, wherry_binary
from lab.guest import TESTS

VM = TESTS / 'verbs/vm'
MIGRATIONS = TESTS / 'verbs/migrations.py'
# Node 1 has the destinations. Node 0 has the sources and the tests within one host. Sessions also use IPv6.
SESSIONS = '''
if [ $VM_NODE = 1 ]; then
  $1/far_end & until [ -e $VM_SHARED/over ]; do sleep 0.2; done; kill $!; exit
fi
trap 'touch $VM_SHARED/over' EXIT
export WHERRY_VERBS_ADDRESS=$VM_ADDRESS GTEST_BRIEF=1
WHERRY_FAR_END=$VM_PEER $1/unit_tests --gtest_filter='*two_hosts*:Over/Fabric*verbs*' &&
  WHERRY_FAR_END=$VM_PEER6 $1/unit_tests --gtest_filter='Over/Session*two_hosts*'
'''


class Rdma(unittest.TestCase):
    def vm(self, *arguments):
        done = subprocess.run([VM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        print(done.stdout)

    def test_sessions(self):
        self.vm('-n', '2', 'sh', '-c', SESSIONS, 'sh', os.path.dirname(wherry_binary()))

    def migrations(self, *which):
        # Not in this process's scratch directory: in the VM this process does not exist, and its scratch would be removed.
        with tempfile.TemporaryDirectory(prefix='wherry-rdma-') as directory:
            self.vm('-n', '2', '-t', '600', MIGRATIONS, shutil.copy(guest_kernel(), directory), *which)

    def test_migrations(self):
        self.migrations()

    def test_dead_link(self):
        """In separate VMs, because soft-RoCE's connection manager does not survive this test."""
        self.migrations('DeadLink')


if __name__ == '__main__':
    unittest.main()
