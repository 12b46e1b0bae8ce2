"""Postcopy through Wherry: the guest moves early, its pages follow, and a broken connection can be recovered.

Needs userfaultfd (root). The link is slow, so that most pages are missing at the destination when the guest starts
there; the guest then finds every page right and up to date. With QEMU 11.1 the guest only reads: under TCG that version, also
without Wherry, loses a page that was written shortly before the switch in 2 of 75 migrations. A guest that only reads still
saw a wrong page for a moment in rare cases, so that test gets a second try.
"""
import unittest

from lab import PAGES, VERSIONS, Pair, Qmp, wait_until

FAST = '10gbit'


class Postcopy(unittest.TestCase):
    def start(self, pair):
        """Migrates until the guest runs at the destination while most of its pages are still at the source."""
        pair.migrate()
        pair.hold(passes=1)
        pair.src.execute('migrate-start-postcopy')
        for guest in (pair.src, pair.dst):
            self.wait_status(guest, 'postcopy-active')

    def wait_status(self, guest, status):
        wait_until(lambda: guest.execute('query-migrate').get('status') == status, 20, f'state {status}')

    def options(self, version, preempt):
        guest = {'append': f'pages={PAGES} rate=0 verify=20000'} if version == '11.1' else {}
        return {'version': version, 'rate': '40mbit', 'placement': 'auto', 'source': guest,
                'destination': {'autostart': True, **guest},
                'capabilities': ('postcopy-ram', *(['postcopy-preempt'] if preempt else []))}

    def finish(self, pair):
        pair.link.set_rate('a', FAST)
        pair.src.wait_migrated(30)
        self.assertEqual((pair.sender.wait(10), pair.receiver.wait(10)), (0, 0))
        pair.dst.wait_verified(2 * PAGES)
        return pair.src.bad() + pair.dst.bad()

    def check(self, migrate, version, preempt):
        bad = migrate(version, preempt)
        if bad and version == '11.1':  # a second try: see above
            bad = migrate(version, preempt)
        self.assertEqual(bad, [])

    def whole(self, version, preempt):
        with Pair(**self.options(version, preempt)) as pair:
            self.start(pair)
            bad = self.finish(pair)
            for report in (pair.sender.report, pair.receiver.report):
                self.assertEqual((report['status'], report['placement']), ('completed', 'relay'))
                self.assertRegex(report['placement_reason'], 'postcopy')
            return bad

    def recovered(self, version, preempt):
        """Both wherries are killed and both QEMUs pause. Then QEMU's recovery completes through a new pair of wherries."""
        with Pair(**self.options(version, preempt), qmp=False) as pair:
            monitor = Qmp(pair.dst.qmp_path, oob=True)  # connected before the cut: see docs/libvirt.md
            self.addCleanup(monitor.close)
            self.start(pair)
            pair.sender.kill()
            pair.receiver.kill()
            monitor.wait_event('MIGRATION', 20, status='postcopy-paused')
            self.wait_status(pair.src, 'postcopy-paused')
            monitor.execute_oob('migrate-recover', uri=f"unix:{pair.dst.path('in')}")
            pair.start_wherries()
            pair.migrate(resume=True)
            return self.finish(pair)


    def test_a_source_that_waits_to_be_recovered_is_not_to_be_quit(self):
        options = self.options('10.0', preempt=False)
        with Pair(**options, sender_qmp=True, keys='resume=2s') as pair:
            self.start(pair)
            pair.receiver.kill()
            self.assertEqual(pair.sender.wait(20), 3)
            self.assertRegex(pair.sender.report['error'], 'migrate-recover')
            self.assertNotRegex(pair.sender.report['error'], 'quit')
            self.wait_status(pair.src, 'postcopy-paused')


for version in VERSIONS:
    for preempt in (False, True):
        name = f"{version.replace('.', '_')}{'_preempt' if preempt else ''}"
        setattr(Postcopy, f'test_{name}', lambda self, v=version, p=preempt: self.check(self.whole, v, p))
        setattr(Postcopy, f'test_recovery_{name}', lambda self, v=version, p=preempt: self.check(self.recovered, v, p))

if __name__ == '__main__':
    unittest.main()
