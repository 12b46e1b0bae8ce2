"""Migrations that Wherry cannot read, so that only the QEMUs know how they end: encrypted between the QEMUs, or encoded by
QEMU and without a return path.

Each end can ask only the monitor that it was given. If QEMU's migration completes, the guest runs only at the destination,
otherwise only at the source. If the QEMU that knows the outcome has a monitor, both wherries report it; otherwise both say
that it is unknown.
"""
import unittest

from lab import Certificates, Pair

COMPLETED, FAILED, UNKNOWN = 0, 1, 3
STATUS = {COMPLETED: 'completed', FAILED: 'failed', UNKNOWN: 'unknown'}
# Which ends have a monitor: options of Pair.
MONITORS = {'source_monitor': {'sender_qmp': True, 'qmp': False}, 'destination_monitor': {'sender_qmp': False, 'qmp': True},
            'no_monitor': {'sender_qmp': False, 'qmp': False}}
STARTS = {'waits': False, 'runs': True}  # whether the destination starts the guest by itself


class Unseen(unittest.TestCase):
    """Shared by the tests below."""

    def check_completed(self, pair, monitors, unknown=('no_monitor',), passes=2):
        code = UNKNOWN if monitors in unknown else COMPLETED
        if monitors == 'source_monitor':  # with it, Wherry measures when the guest stops
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
            # A QEMU that has exited cannot be asked; it may have had the guest before.
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
        """The destination rejects the source's certificate. The source learns that only after its own handshake."""
        with self.pair(multifd, monitors, runs, client='other') as pair:
            self.check_stayed(pair, monitors)

    def check_refused_here(self, multifd, monitors, runs):
        """The source rejects the destination's certificate. With multifd, the destination waits for more connections."""
        with self.pair(multifd, monitors, runs, server='other') as pair:
            self.check_stayed(pair, monitors)


class Xbzrle(Unseen):
    def check(self, monitors, runs):
        with Pair(placement='auto', rate='160mbit', capabilities=('xbzrle',), return_path=False,
                  parameters={'xbzrle_cache_size': 1 << 25}, destination={'autostart': runs}, **MONITORS[monitors]) as pair:
            # Without a return path, the source considers the migration complete when its last byte is sent.
            self.check_completed(pair, monitors, unknown=('no_monitor', 'source_monitor'), passes=4)


def add(where, name, check, *arguments):
    setattr(where, f'test_{name}', lambda self: getattr(self, check)(*arguments))


for start, runs in STARTS.items():
    for monitors in MONITORS:
        add(Xbzrle, f'without_return_path_{monitors}_{start}', 'check', monitors, runs)
        for multifd in (0, 2):
            way = f"{f'multifd_{multifd}' if multifd else 'single'}_{monitors}_{start}"
            add(Tls, f'accepted_{way}', 'check_accepted', multifd, monitors, runs)
            # A destination that starts the guest by itself is the harder case of a failure.
            if runs:
                add(Tls, f'refused_there_{way}', 'check_refused_there', multifd, monitors, runs)
                add(Tls, f'refused_here_{way}', 'check_refused_here', multifd, monitors, runs)

if __name__ == '__main__':
    unittest.main()
