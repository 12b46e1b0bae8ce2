"""Every kind of stream that QEMU can send: those that Wherry parses, and those that it must carry opaque.

Each test is one migration of a guest that keeps writing. Afterwards both RAMs are equal, the guest runs and finds every page
right, and the report has the placement, its reason, and the channels that were not parsed.
"""
import contextlib
import os
import secrets
import subprocess
import unittest
import unittest.mock
from pathlib import Path

from lab import PAGES, Pair, says, scratch, wait_until, wherry_binary

FAST = '10gbit'
FLIP = f'pages={PAGES} rate=8000 mix=text:40,flip:60 verify=20000'


def migrate(pair, passes):
    """Migrates to the end. The link is slow until `passes` passes, so that pages are sent again."""
    pair.migrate_and_hold(passes)
    pair.link.set_rate('a', FAST)
    return pair.complete()


class Streams(unittest.TestCase):
    def check(self, reported=None, reason='.*', opaque=None, passes=2, **options):
        """`reported`, `reason`: placement and placement_reason in the report. `opaque`: number of opaque channels, and why."""
        with Pair(**{'rate': '160mbit', 'placement': 'auto', **options}) as pair:
            sender, receiver = migrate(pair, passes)
            for report in (sender, receiver):
                self.assertEqual(report['status'], 'completed')
                if reported:
                    self.assertEqual(report['placement'], reported)
                self.assertRegex(report['placement_reason'], reason)
            count, why = opaque or (0, '.*')
            self.assertEqual(len(sender['opaque']), count, sender['opaque'])
            for text in sender['opaque'].values():
                self.assertRegex(text, why)
            return pair, sender

    # Encodings of QEMU

    def test_xbzrle(self):
        for placement in ('auto', 'relay'):
            with self.subTest(placement):
                self.check('relay', 'asked for|opaque', (1, 'xbzrle'), placement=placement, capabilities=('xbzrle',),
                           parameters={'xbzrle_cache_size': 1 << 25}, passes=4)

    def test_multifd_compression(self):
        for version, method in (('7.2', 'zlib'), ('10.0', 'zlib'), ('10.0', 'zstd'), ('11.1', 'zstd')):
            with self.subTest(f'{version} {method}'):
                self.check('relay', 'opaque', (2, 'compress|zlib|zstd'), version=version, multifd=2,
                           parameters={'multifd_compression': method})

    def check_tls(self, multifd):
        keys = scratch()
        with open(os.path.join(keys, 'keys.psk'), 'w') as file:
            file.write(f'qemu:{secrets.token_hex(32)}\n')

        def end(endpoint):
            return {'extra': ('-object', f'tls-creds-psk,id=tls,dir={keys},endpoint={endpoint}')}
        self.check('relay', '.*', (1 + multifd, 'TLS'), multifd=multifd, source=end('client'),
                   destination=end('server'), parameters={'tls_creds': 'tls', 'tls_hostname': 'peer'}, sender_qmp=True)

    def test_tls_single(self):
        self.check_tls(0)

    def test_tls_multifd(self):
        self.check_tls(2)

    # Stream formats

    def test_machine_types(self):
        for version, machine, placement, reported in (('10.0', 'pc-i440fx-7.2', 'direct', 'direct-mapped'),
                                                      ('11.1', 'pc-i440fx-7.2', 'relay', 'relay'),
                                                      ('10.0', 'pc-q35-8.0', 'relay', 'relay'),
                                                      ('11.1', 'pc-q35-8.0', 'direct', 'direct-mapped')):
            with self.subTest(f'{version} {machine} {placement}'):
                self.check(reported, version=version, multifd=4, placement=placement,
                           source={'machine': machine}, destination={'machine': machine})

    def test_zero_page_detection(self):
        for detection in ('legacy', 'none'):
            for placement, reported in (('direct', 'direct-mapped'), ('relay', 'relay')):
                with self.subTest(f'{detection} {placement}'):
                    self.check(reported, multifd=4, placement=placement, source={'append': FLIP},
                               destination={'append': FLIP}, parameters={'zero_page_detection': detection}, passes=4)

    def test_a_page_of_zeros_that_came_as_data_leaves_as_data(self):
        """QEMU before 9.0 silently ignores zero pages on a multifd channel."""
        old = {'append': FLIP, 'machine': 'pc-q35-7.2'}
        for placement in ('relay', 'direct'):
            with self.subTest(placement), Pair(rate='160mbit', multifd=4, placement=placement, source=old,
                                               destination={**old, 'version': '7.2'}) as pair:
                pair.src.execute('migrate-set-parameters', zero_page_detection='none')
                migrate(pair, passes=4)

    def test_no_return_path(self):
        for multifd in (0, 4):
            with self.subTest(multifd=multifd):
                self.check('relay', 'return-path is off', multifd=multifd, return_path=False)

    def test_few_and_many_channels(self):
        for multifd in (1, 16):
            for placement, reported in (('direct', 'direct-mapped'), ('relay', 'relay')):
                with self.subTest(f'{multifd} {placement}'):
                    self.check(reported, multifd=multifd, placement=placement, passes=1)

    # Guests

    def test_sparse_guest_stays_sparse(self):
        """Zero pages that are placed directly allocate no memory at the destination."""
        big = {'ram_kib': (1 << 20) + 8, 'ram': 'shm'}
        for multifd in (0, 4):
            with self.subTest(multifd=multifd), Pair(multifd=multifd, placement='direct', source=big,
                                                     destination=big) as pair:
                pair.migrate()
                pair.complete(compare=False)
                taken = os.stat(pair.dst.ram_file).st_blocks * 512
                self.assertLess(taken, 2 * PAGES * 4096 + (8 << 20))

    def test_memory_stays_bounded(self):
        """A guest of 2 GiB: each end of Wherry takes at most 64 MiB plus the slots in flight; the source, also the page history
        that it reports."""
        big = {'ram_kib': (2 << 20) + 8, 'append': 'pages=16384 rate=5000 mix=text:60,random:40 verify=20000'}
        for multifd, placement in ((4, 'direct'), (0, 'relay')):
            with self.subTest(f'{multifd} {placement}'), Pair(multifd=multifd, placement=placement, source=big,
                                                              destination=big) as pair:
                pair.migrate()
                most, running = {pair.sender: 0, pair.receiver: 0}, True
                while running:
                    for wherry in most:
                        with contextlib.suppress(OSError, TypeError):  # the process has just ended
                            most[wherry] = max(most[wherry], wherry.private_bytes)
                    running = pair.src.execute('query-migrate')['status'] != 'completed'
                report, _ = pair.complete(compare=False)
                self.assertLessEqual(report['in_flight_max'], report['in_flight_bound'])
                bound = (64 << 20) + report['in_flight_bound']
                self.assertLess(most[pair.receiver], bound)
                self.assertLess(most[pair.sender], bound + report['history_bytes'])
                self.assertLessEqual(report['history_bytes'], report['history_budget'])

    @contextlib.contextmanager
    def host_with(self, available):
        """Wherries that are started meanwhile see a host that has so many bytes available. Yields what changes that."""
        directory = scratch()
        meminfo, program = os.path.join(directory, 'meminfo'), os.path.join(directory, 'wherry')

        def say(available):
            with open(meminfo, 'w', encoding='ascii') as file:
                file.write(f'MemAvailable: {available >> 10} kB\n')

        say(available)
        with open(program, 'w', encoding='ascii') as script:
            script.write(f"""#!/bin/sh
exec unshare --mount sh -c 'mount --bind {meminfo} /proc/meminfo && exec {wherry_binary()} "$@"' wherry "$@"
""")
        os.chmod(program, 0o755)
        with unittest.mock.patch.dict(os.environ, WHERRY_BIN=program):
            yield say

    def test_the_history_takes_what_the_host_can_afford(self):
        trace = os.path.join(scratch(), 'trace')
        for multifd, placement in ((2, 'direct'), (0, 'relay')):
            with self.subTest(placement), self.host_with(32 << 20) as say, \
                    Pair(multifd=multifd, placement=placement, wherries=False, parameters={'max_bandwidth': 8 << 20}) as pair:
                pair.start_wherries(traces=(trace, os.devnull))
                pair.migrate()
                pair.hold(3)
                say(0)
                wait_until(lambda: 'history_shrunk' in Path(trace).read_text(), 20, 'shrinking')
                pair.hold(5)
                pair.src.execute('migrate-set-parameters', max_bandwidth=1 << 30)
                sender, receiver = pair.complete()
                self.assertLess(sender['history_budget'], 4 << 20, 'it was 8 MiB, and what it had taken was too much')
                self.assertLessEqual(sender['history_bytes'], sender['history_budget'])
                self.assertLessEqual(receiver['history_budget'], 8 << 20)
                os.unlink(trace)

    def check_memory_device(self, placement, reported, content):
        """A pc-dimm at both ends, with that content at the source, arrives as it is. Returns how many pages went as others."""
        size, directory = 128 << 20, scratch('/dev/shm')

        def end(name):
            path = os.path.join(directory, name)
            return path, {'machine': 'q35', 'extra': (
                '-m', 'slots=1,maxmem=1G', '-device', 'pc-dimm,memdev=dimm', '-object',
                f'memory-backend-file,id=dimm,size={size},share=on,mem-path={path}')}
        (src, source), (dst, destination) = end('src'), end('dst')
        with open(src, 'wb') as file:
            file.truncate(size)
            file.seek(size // 2)
            file.write(content)
        _, report = self.check(reported, placement=placement, multifd=2, source=source, destination=destination,
                               keys='streams=2&verify=on&compress=delta+zstd')
        with open(dst, 'rb') as file:
            file.seek(size // 2)
            arrived = file.read(len(content))
        wrong = [at for at in range(0, len(content), 4096) if arrived[at:at + 4096] != content[at:at + 4096]]
        self.assertEqual(wrong, [], 'pages that differ')
        return report['pages']['same']

    def test_memory_device(self):
        """With random pages of which each occurs twice."""
        content = secrets.token_bytes(4 << 20) * 2
        with self.subTest('direct'):
            self.assertGreater(self.check_memory_device('direct', 'direct-mapped', content), len(content) // 2 // 4096 // 2)
        with self.subTest('relay'):
            self.assertEqual(self.check_memory_device('relay', 'relay', content), 0)

    def test_pages_that_are_made_to_hash_alike(self):
        """In pairs, as anybody can who writes a guest's memory and knows how Wherry hashes: but for the session's secret."""
        secret = bytes.fromhex('b8fe6c3923a44bbe7c01812cf721ad1c')  # how XXH3's own begins; see tests/compression/made_pages.h
        ones = bytearray(secrets.token_bytes(4 << 20))
        for at in range(0, len(ones), 4096):
            for i in (0, 1, 2, 3, 7):
                ones[at + 64 + i] = ones[at + i] ^ secret[i] ^ secret[8 + i]
            ones[at + 64 + 7] ^= 0x80
        others = bytearray(ones)
        for at in range(0, len(others), 4096):
            others[at + 7] ^= 0x80
            others[at + 64 + 7] ^= 0x80
        self.check_memory_device('direct', 'direct-mapped', bytes(ones + others))

    # Networks

    def test_streams(self):
        for streams, multifd in ((1, 4), (8, 0)):
            with self.subTest(f'{streams} {multifd}'):
                _, report = self.check('direct-mapped', multifd=multifd, keys=f'streams={streams}')
                self.assertEqual(len(report['lanes']), streams)

    def check_hosts(self, listen, to, peers):
        with Pair(wherries=False, keys='streams=4') as pair:
            for side, last in (('a', 1), ('b', 2)):
                subprocess.run(['ip', '-n', pair.link.netns(side), 'address', 'add', f'10.98.1.{last}/24',
                                'dev', 'cable'], check=True)
            pair.start_wherries(listen=listen, to=to)
            pair.migrate()
            report, _ = pair.complete()
            self.assertEqual([lane['peer'] for lane in report['lanes']], peers)
            for lane in report['lanes']:
                self.assertGreater(lane['bytes'], 0)

    def test_fabric(self):
        """Over libfabric's tcp provider, with the same code as over RDMA. verbs needs a VM (test_rdma.py)."""
        for placement, multifd, keys in (('direct', 0, 'compress=off'), ('direct', 4, 'verify=on'), ('relay', 2, '')):
            with self.subTest(f'{placement} {multifd}'):
                _, report = self.check(multifd=multifd, placement=placement, scheme='wherry+rdma', passes=3,
                                       keys=f'provider=tcp&streams=3&{keys}', listen_keys='provider=tcp')
                self.assertEqual(report['transport'], 'rdma')
                for lane in report['lanes']:
                    self.assertEqual((lane['transport'], lane['lost']), ('rdma', False))

    def test_fabric_that_the_receiver_does_not_allow(self):
        _, report = self.check(keys='provider=tcp')
        self.assertEqual(report['transport'], 'tcp')
        for lane in report['lanes']:
            says(self, lane['no_rdma'], 'at the receiver', 'verbs')

    def test_without_a_fabric(self):
        _, report = self.check(keys='provider=nosuch')
        self.assertEqual(report['transport'], 'tcp')
        for lane in report['lanes']:
            says(self, lane['no_rdma'], 'provider nosuch', 'reaches 10.98.0.2')

    # Encodings

    def test_compress(self):
        """Every value of `compress` works, and pages that are sent again are sent as deltas."""
        for compress, ways in (('off', 'zero raw'), ('zstd', 'zero zstd raw'), ('delta', 'zero delta raw'),
                               ('delta+zstd', 'zero delta zstd raw'), ('auto', 'zero')):
            for multifd, ram, reported in ((0, 'memfd', 'direct-mapped'), (2, 'private', 'direct-process')):
                with self.subTest(f'{compress} {multifd}'):
                    _, report = self.check(reported, multifd=multifd, keys=f'compress={compress}',
                                           destination={'ram': ram}, passes=3)
                    found = {way for way, pages in report['pages'].items() if pages}
                    if compress == 'auto':
                        self.assertLessEqual(set(ways.split()), found)
                    else:
                        self.assertEqual(set(ways.split()), found)

    def test_ipv6(self):
        self.check_hosts('[fd98::2]', '[fd98::2]', ['[fd98::2]:16520'] * 4)
        self.check_hosts('[::]', '10.98.0.2', ['10.98.0.2:16520'] * 4)

    def test_two_paths(self):
        self.check_hosts('0.0.0.0', '10.98.0.2,10.98.1.2', ['10.98.0.2:16520', '10.98.1.2:16520'] * 2)
        self.check_hosts('[::]', '[fd98::2],10.98.1.2:16520', ['[fd98::2]:16520', '10.98.1.2:16520'] * 2)

    def test_qemu_over_tcp(self):
        for multifd in (0, 4):
            with self.subTest(multifd=multifd):
                self.check('direct-mapped', multifd=multifd, tcp=True, passes=1)


if __name__ == '__main__':
    unittest.main()
