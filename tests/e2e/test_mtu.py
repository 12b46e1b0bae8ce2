"""A path between two hosts with an MTU of 9000 that drops all packets of more than 1500 bytes: connections are established,
but large packets never arrive."""
import json
import subprocess
import unittest

from lab import Link, Pair, says, scratch, wait_until, wherry_binary

CONFIG = '''
listen = "wherry://{address}"
insecure = true
runtime_dir = "{directory}/wherry"
[peers.hosta]
address = "{peer}"
libvirt = "manage"
'''


class Doctor(unittest.TestCase):
    def setUp(self):
        self.link = self.enterContext(Link(passes=1500))
        directory = scratch()
        with open(f'{directory}/wherry.toml', 'w', encoding='utf-8') as file:
            file.write(CONFIG.format(address=self.link.address('b'), peer=self.link.address('a'), directory=directory))
        self.link.run_in('b', [wherry_binary('wherryd'), '--config', f'{directory}/wherry.toml'],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.doctor()['found'].find('refused') < 0, 10, 'wherryd')

    def doctor(self):
        done = self.link.run_in('a', [wherry_binary(), 'doctor', '--json', '--config', '/nonexistent',
                                      f"wherry://{self.link.address('b')}"], stdout=subprocess.PIPE, text=True)
        found, _ = done.communicate(timeout=30)
        [peer] = [each for each in json.loads(found) if each['about'].startswith('peer ')]
        return peer

    def test_it_names_the_mtu_and_what_helps(self):
        found = self.doctor()
        self.assertEqual(found['level'], 'problem', found)
        says(self, found['found'], '9000 bytes')
        says(self, found['remedy'], 'ip link set dev', 'net.ipv4.tcp_mtu_probing=2')
        for probing, mtu, passes in ((2, 9000, '1...'), (0, 1500, '1500')):
            with self.subTest(probing=probing, mtu=mtu):
                self.run_in_a('sysctl', '-qw', f'net.ipv4.tcp_mtu_probing={probing}')
                self.run_in_a('ip', 'link', 'set', 'dev', 'cable', 'mtu', mtu)
                found = self.doctor()
                self.assertEqual(found['level'], 'ok', found)
                self.assertRegex(found['found'], f'packets of {passes} bytes arrive')

    def run_in_a(self, *argv):
        self.assertEqual(self.link.run_in('a', argv).wait(), 0)


class Lanes(unittest.TestCase):
    def test_a_lane_that_moves_nothing_large_says_so(self):
        with Pair(passes=1500, keys='streams=2&resume=2s') as pair:
            pair.migrate()
            self.assertEqual((pair.sender.wait(30), pair.receiver.wait(30)), (1, 1))
            for said in (pair.sender.stderr, pair.sender.report['error'], pair.receiver.report['error']):
                says(self, said, 'no packet', '9000 bytes', 'net.ipv4.tcp_mtu_probing=2')
            pair.check_source_goes_on()


if __name__ == '__main__':
    unittest.main()
