"""Tests of the verbs lab: its VMs have RDMA, also between two VMs; a command's output and status are passed on; nothing is
left afterwards."""
import os
import subprocess
import unittest

from lab import scratch, spawn, wait_until
from lab.guest import TESTS

VM = TESTS / 'verbs/vm'
PIPES = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
# Node 0 is the server. Node 1 retries until the server answers.
BOTH_WAYS = '''
set -e
[ "$(nproc) $(cat /sys/devices/system/cpu/possible)" = "1 0-1" ]  # without a possible second processor, TCG omits memory barriers
serve_or_try() {  # serve_or_try SERVER CLIENT
  if [ $VM_NODE = 0 ]; then $1 >&2; else until $2 >&2; do sleep 0.1; done; fi
}
serve_or_try "rping -s -C 3" "rping -c -a $VM_PEER -C 3 -v"
serve_or_try "rping -s -a :: -C 3" "rping -c -a $VM_PEER6 -C 3 -v"
serve_or_try "ib_write_bw -R -n 50" "ib_write_bw -R -n 50 $VM_PEER"
echo "$VM_ADDRESS reached $VM_PEER" >$VM_SHARED/$VM_NODE
until [ -e $VM_SHARED/$((1 - VM_NODE)) ]; do sleep 0.1; done
tc qdisc add dev eth0 root netem delay 5ms
tc qdisc replace dev eth0 root tbf rate 100mbit burst 9014 latency 10ms
cat $VM_SHARED/$((1 - VM_NODE))
'''


class Verbs(unittest.TestCase):
    def vm(self, *arguments, shared=None):
        environment = {**os.environ, 'TMPDIR': scratch(), **({'VM_SHARED': shared} if shared else {})}
        done = subprocess.run([VM, *arguments], **PIPES, env=environment, timeout=150)
        self.assertEqual(os.listdir(environment['TMPDIR']), [])
        return done

    def test_one(self):
        made_inside = '/etc/of-a-vm'
        done = self.vm('sh', '-c', f'touch {made_inside} && ibv_devinfo; pwd >/dev/stderr; exit 3')
        self.assertRegex(done.stdout, r'hca_id:\s+rxe0\n(.*\n)*\s+state:\s+PORT_ACTIVE')
        self.assertEqual((done.returncode, done.stderr), (3, f'{os.getcwd()}\n'))
        self.assertFalse(os.path.exists(made_inside))

    def test_two(self):
        shared = scratch()
        done = self.vm('-n', '2', 'sh', '-c', BOTH_WAYS, shared=shared)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(sorted(done.stdout.splitlines()),
                         ['10.77.0.1 reached 10.77.0.2', '10.77.0.2 reached 10.77.0.1'])
        self.assertEqual(done.stderr.count('ping data: rdma-ping-2'), 2, done.stderr)
        self.assertEqual(sorted(os.listdir(shared)), ['0', '1'])

    def test_failures(self):
        """In parallel: a command that takes too long, one whose VM dies, one that is told to end."""
        directory = scratch()

        def start(*arguments):
            return self.enterContext(spawn([VM, *arguments], **PIPES, env={**os.environ, 'TMPDIR': directory}))
        late = start('-t', '0.5', 'true')
        dying = start('-n', '2', 'sh', '-c', '[ $VM_NODE = 0 ] || echo b >/proc/sysrq-trigger; exec sleep infinity')
        ended = start('sh', '-c', 'echo runs; exec sleep infinity')

        said = ended.stdout.readline()
        self.assertEqual(said, 'runs\n', '' if said else ended.communicate()[1])
        with open(f'/proc/{ended.pid}/task/{ended.pid}/children', encoding='ascii') as children:
            qemu = int(children.read())
        ended.terminate()
        for process, status, said in ((late, 124, 'no end of node 0 within 0.5 s'), (dying, 125, 'node 1 died'),
                                      (ended, 143, '')):
            _, stderr = process.communicate(timeout=150)
            self.assertEqual(process.returncode, status, stderr)
            self.assertIn(said, stderr)
        wait_until(lambda: not os.path.exists(f'/proc/{qemu}'), 10, 'end of QEMU')
        self.assertEqual(os.listdir(directory), [])


if __name__ == '__main__':
    unittest.main()
