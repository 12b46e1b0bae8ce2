"""Every supported QEMU × single channel and multifd × every placement: one live migration each, over a 1 Gb/s link.

The guest keeps writing to its memory. Afterwards both RAMs are equal, the guest runs at the destination and finds every page
right and up to date, and the report has the expected placement.
The binary is $WHERRY_BIN, or build/release/wherry.
"""
import os
import unittest

from lab import VERSIONS, Guest, Link, Wherry, compare_ram

PAGES = 16384
GUEST = f'pages={PAGES} rate=2000 bytes=64 mix=text:50,random:30,zero:10,flip:10 verify=30000'
PLACEMENTS = {  # name: destination's RAM, placement in the URI, placement in the report
    'relay': ('memfd', 'relay', 'relay'),
    'direct_mapped': ('memfd', 'direct', 'direct-mapped'),
    'direct_process': ('private', 'direct', 'direct-process'),
}


class Matrix(unittest.TestCase):
    def check(self, version, multifd, placement):
        ram, wanted, reported = PLACEMENTS[placement]
        link = self.enterContext(Link(rate='1gbit'))
        a, b, address = link.netns('a'), link.netns('b'), link.address('b')
        src = self.enterContext(Guest(version, ram='private', append=GUEST, netns=a))
        dst = self.enterContext(Guest(version, ram=ram, append=GUEST, netns=b, incoming=True))
        for guest in (src, dst):
            guest.configure_migration(multifd, downtime_limit=300)
        src_socket, dst_socket = src.path('out'), dst.path('in')
        src.wait_ready()
        dst.execute('migrate-incoming', uri=f'unix:{dst_socket}')
        receiver = self.enterContext(Wherry.receive(f'wherry://{address}', dst_socket, qmp=dst.qmp_path, netns=b))
        receiver.wait_listening()
        sender = self.enterContext(Wherry.send(src_socket, f'wherry://{address}?streams=2&placement={wanted}', netns=a))
        sender.wait_for_socket()

        src.execute('migrate', uri=f'unix:{src_socket}')
        try:
            src.wait_migrated(timeout=60)
            self.assertEqual((sender.wait(), receiver.wait()), (0, 0))
        except Exception as error:
            for name, process in (('send', sender), ('receive', receiver)):
                error.add_note(f'wherry {name} ({process.returncode}): {process.stderr}')
            raise
        self.assertEqual(compare_ram(src, dst), [])
        dst.cont()
        dst.wait_verified(PAGES)
        self.assertEqual(src.bad() + dst.bad(), [])
        for process in (sender, receiver):
            self.assertEqual((process.report['status'], process.report['placement']), ('completed', reported))
        self.assertFalse(os.path.exists(src_socket), 'the socket that wherry send made is left behind')


for version in VERSIONS:
    for multifd in (0, 4):
        for placement in PLACEMENTS:
            name = f"test_{version.replace('.', '_')}_{f'multifd_{multifd}' if multifd else 'single'}_{placement}"
            setattr(Matrix, name, lambda self, v=version, m=multifd, p=placement: self.check(v, m, p))

if __name__ == '__main__':
    unittest.main()
