"""The command line: a wrong argument is refused at once, with exit status 2 and a message that names it."""
import os
import subprocess
import unittest

from lab import says, scratch, wherry_binary

SEND = ['send', '--qemu', 'unix:/nonexistent/out', '--to']
RECEIVE = ['receive', '--qemu', 'unix:/nonexistent/in', '--listen']


class Usage(unittest.TestCase):
    def check(self, arguments, code, *parts):
        done = subprocess.run([wherry_binary(), *arguments], capture_output=True, text=True, timeout=10)
        self.assertEqual(done.returncode, code, done)
        says(self, done.stderr + done.stdout, *parts)

    def test_beyond_loopback_needs_insecure(self):
        for command in (SEND, RECEIVE):
            for host in ('192.0.2.1', '[2001:db8::1]', '0.0.0.0', '[::]', 'example.org', '127.0.0.1,192.0.2.1'):
                with self.subTest(f'{command[0]} {host}'):
                    self.check([*command, f'wherry://{host}'], 2, '--insecure', f'wherry://{host}')

    def test_loopback_does_not(self):
        for host in ('127.0.0.1', '[::1]', 'localhost', '127.1.2.3:9'):
            with self.subTest(host):
                self.check([*SEND, f'wherry://{host}'], 1, 'refused')

    def test_uri(self):
        for uri, named in {
                'wherry://h?stream=2': 'stream', 'wherry://h?streams=0': 'streams=0',
                'wherry://h?streams=65': 'streams=65', 'wherry://h?streams=2x': 'streams=2x',
                'wherry://h?streams=': 'streams=', 'wherry://h?streams': 'streams',
                'wherry://h?downtime=300': 'downtime=300', 'wherry://h?downtime=-1ms': 'downtime=-1ms',
                'wherry://h?bandwidth=5': 'bandwidth=5', 'wherry://h?bandwidth=nanGbps': 'bandwidth=nanGbps',
                'wherry://h?throttle-max=100': 'throttle-max=100', 'wherry://h?on-miss=maybe': 'on-miss=maybe',
                'wherry://h?placement=here': 'placement=here', 'wherry://h?resume=0s': 'resume=0s',
                'wherry://h?compress=lzma': 'compress=lzma', 'wherry://h:port': 'port', 'wherry://h:70000': '70000',
                'wherry://[::1': '[::1', 'wherry://': 'wherry://', 'wherry://h,': 'wherry://h,', 'http://h': 'http://h',
                'h': 'expected wherry://', 'wherry+udp://h': 'wherry+udp://h',
                'wherry://h?provider=a;b': 'provider=a;b', '': 'expected wherry://'}.items():
            for command in (SEND, RECEIVE):
                with self.subTest(f'{command[0]} {uri}'):
                    self.check([*command, uri, '--insecure'], 2, named)

    def test_qemu(self):
        for qemu, named in {'/path': '/path', 'unix:': 'unix:', 'tcp:127.0.0.1': 'tcp:127.0.0.1',
                            'tcp:127.0.0.1:x': 'tcp:127.0.0.1:x', 'tcp:192.0.2.1:5000': 'loopback',
                            'tcp:127.0.0.1:70000': '70000', 'unix:/' + 'x' * 108: 'longer'}.items():
            for command, where in ((['send', '--to'], 'wherry://127.0.0.1'),
                                   (['receive', '--listen'], 'wherry://127.0.0.1:0')):
                with self.subTest(f'{command[0]} {qemu}'):
                    self.check([*command, where, '--qemu', qemu], 2, named)

    def test_options(self):
        for arguments, named in (([], 'subcommand'), (['carry'], 'subcommand'), (['send'], '--qemu'),
                                 (['send', '--qemu', 'unix:/x'], '--to'),
                                 (['receive', '--qemu', 'unix:/x'], '--listen'),
                                 ([*SEND, 'wherry://127.0.0.1', '--fast'], '--fast'), ([*SEND], '--to'),
                                 ([*SEND, 'wherry://127.0.0.1', '--report'], '--report')):
            with self.subTest(' '.join(arguments)):
                self.check(arguments, 2, named)

    def test_migrate(self):
        for arguments, named in {
                '': 'DOMAIN and DEST, or --from and --to', 'vm': 'DOMAIN requires DEST', '--from qmp:/a': '--to',
                'vm hostb --from qmp:/a --to qmp:/b': 'DOMAIN excludes --from',
                '--live --from qmp:/a --to qmp:/b': '--live excludes --from', 'vm hostb --paused': 'DOMAIN excludes --paused',
                'vm hostb --tunnelled': 'past Wherry', 'vm hostb --live --offline': 'excludes',
                'vm hostb --timeout 3': '--timeout requires --live', 'vm hostb --live --timeout 0': '--timeout',
                'vm hostb --live --timeout-postcopy': '--timeout', 'vm hostb --bandwidth fast': '--bandwidth',
                'vm qemu:///system': '--via wherry://HOST', 'vm ../hostb': '../hostb',
                'vm hostb --via tcp://hostb': 'expected wherry://', 'vm hostb --xml /nonexistent': '/nonexistent'}.items():
            with self.subTest(arguments):
                self.check(['migrate', *arguments.split()], 2, named)

    def test_set(self):
        for setting, expected in {'bandwidth=5': 'a rate', 'bandwidth=': 'a rate', 'streams=4': 'bandwidth=',
                                  'bandwidth': 'bandwidth='}.items():
            with self.subTest(setting):
                self.check(['set', '/run/wherry/hostb/0/ram.sock', setting], 2, setting, f'expected {expected}')

    def test_a_runtime_directory_has_room_for_the_longest_socket(self):
        """Checked by wherryd and by doctor: at most 107 bytes, for RUNTIME_DIR/hostb/ID/nbd.sock too."""
        for length in (107, 108, 111, 112):
            with self.subTest(length):
                directory = '/' + 'd' * (length - len('//hostb/0123456789abcdef/nbd.sock'))
                config = os.path.join(scratch(), 'wherry.toml')
                with open(config, 'w', encoding='ascii') as file:
                    file.write(f'runtime_dir = "{directory}"\n[peers.hostb]\naddress = "127.0.0.1:1"\n')
                checked = subprocess.run([wherry_binary('wherryd'), '--check', '--config', config], capture_output=True,
                                         text=True, timeout=10)
                doctor = subprocess.run([wherry_binary(), 'doctor', '--config', config], capture_output=True, text=True,
                                        timeout=30).stdout
                if length == 107:
                    self.assertEqual(checked.returncode, 0, checked)
                    says(self, doctor, '107 of 107 bytes')
                else:
                    self.assertEqual(checked.returncode, 2, checked)
                    says(self, checked.stderr, f'{length} bytes', '107 are allowed')
                    says(self, doctor, f'{length} bytes', '107 are allowed')

    def test_help_and_version(self):
        self.check(['--help'], 0, 'send', 'receive')
        self.check(['send', '--help'], 0, '--qemu', '--to', '--insecure')
        self.check(['--version'], 0, '0')


if __name__ == '__main__':
    unittest.main()
