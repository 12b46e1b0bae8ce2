"""Migrations that Wherry cannot see into, so that only a QEMU knows how they end: encrypted between the QEMUs, or encoded by
them without a way back.

What each end may ask is the monitor that it was given. Whatever they know: where QEMU completes, the guest runs at the
destination alone, and where it does not, at the source alone. With a monitor at an end that knows both ends say which it was, else
that they do not know.
"""
import unittest

from lab import Certificates, Pair

COMPLETED, FAILED, UNKNOWN = 0, 1, 3
STATUS = {COMPLETED: 'completed', FAILED: 'failed', UNKNOWN: 'unknown'}
# Who has a monitor: options of Pair.
MONITORS = {'source_monitor': {'sender_qmp': True, 'qmp': False}, 'destination_monitor': {'sender_qmp': False, 'qmp': True},
            'no_monitor': {'sender_qmp': False, 'qmp': False}}
STARTS = {'waits': False, 'runs': True}  # the destination's guest, by itself


class Unseen(unittest.TestCase):
    """What the tests below have in common."""

    def check_completed(self, pair, monitors, unknown=('no_monitor',), passes=2):
        code = UNKNOWN if monitors in unknown else COMPLETED
        if monitors == 'source_monitor':  # by which Wherry says when the guest stops
            pair.migrate()
        else:
            pair.migrate_and_hold(passes)
        pair.link.set_rate('a', '10gbit')
        for report in pair.complete(code=code):
            self.assertEqual(report['status'], STATUS[code])

    def check_stayed(self, pair, monitors):
        pair.migrate()
        pair.check_source_goes_on()
        for wherry in (pair.sender, pair.receiver):
            # A QEMU that has ended may have had the guest before: it cannot be asked.
            asked = monitors == 'source_monitor' or (monitors == 'destination_monitor' and pair.dst.process.poll() is None)
            self.assertIn(wherry.wait(10), (FAILED,) if asked else (FAILED, UNKNOWN))
            self.assertEqual(wherry.report['status'], STATUS[wherry.returncode])
        pair.dst.qmp.take_in()
        self.assertIsNone(pair.dst.qmp.find_event('RESUME'))
        self.assertEqual(pair.dst.console(), [])


class Tls(Unseen):
    @classmethod
    def setUpClass(cls):
        cls.certificates = Certificates()

    def pair(self, multifd, monitors, runs, client='known', server='known'):
        source = self.certificates.end('client', client)
        destination = {**self.certificates.end('server', server), 'autostart': runs}
        return Pair(multifd=multifd, placement='auto', keys='resume=2s', rate='160mbit', source=source, destination=destination,
                    parameters={'tls_creds': 'tls', 'tls_hostname': 'peer'}, **MONITORS[monitors])

    def check_accepted(self, multifd, monitors, runs):
        with self.pair(multifd, monitors, runs) as pair:
            self.check_completed(pair, monitors)

    def check_refused_there(self, multifd, monitors, runs):
        """The destination does not know who has certified the source, which learns of it after its own handshake."""
        with self.pair(multifd, monitors, runs, client='other') as pair:
            self.check_stayed(pair, monitors)

    def check_refused_here(self, multifd, monitors, runs):
        """The source does not know who has certified the destination; with multifd that waits on, for more connections."""
        with self.pair(multifd, monitors, runs, server='other') as pair:
            self.check_stayed(pair, monitors)


class Xbzrle(Unseen):
    def check(self, monitors, runs):
        with Pair(placement='auto', rate='160mbit', capabilities=('xbzrle',), return_path=False,
                  parameters={'xbzrle_cache_size': 1 << 25}, destination={'autostart': runs}, **MONITORS[monitors]) as pair:
            # Without a way back the source takes the guest for gone when its last byte has left.
            self.check_completed(pair, monitors, unknown=('no_monitor', 'source_monitor'), passes=4)


def add(where, name, check, *arguments):
    setattr(where, f'test_{name}', lambda self: getattr(self, check)(*arguments))


for start, runs in STARTS.items():
    for monitors in MONITORS:
        add(Xbzrle, f'without_return_path_{monitors}_{start}', 'check', monitors, runs)
        for multifd in (0, 2):
            way = f"{f'multifd_{multifd}' if multifd else 'single'}_{monitors}_{start}"
            add(Tls, f'accepted_{way}', 'check_accepted', multifd, monitors, runs)
            # A destination that would run by itself is the harder case of a failure.
            if runs:
                add(Tls, f'refused_there_{way}', 'check_refused_there', multifd, monitors, runs)
                add(Tls, f'refused_here_{way}', 'check_refused_here', multifd, monitors, runs)

if __name__ == '__main__':
    unittest.main()
