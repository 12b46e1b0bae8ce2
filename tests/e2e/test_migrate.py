"""`wherry migrate --from QMP --to QMP`: all of a migration between two QEMUs of one host, by one command."""
import json
import os
import signal
import subprocess
import unittest

from lab import Guest, wait_until, wherry_binary
from lab.process import scratch

GUEST = 'pages=16384 rate=3000 verify=2000'


def capabilities(guest):
    return {each['capability'] for each in guest.execute('query-migrate-capabilities') if each['state']}


class Migrate(unittest.TestCase):
    def migrate(self, src, dst, uri, report, **environment):
        return subprocess.Popen([wherry_binary(), 'migrate', '--from', f'qmp:{src.qmp_path}', '--to', f'qmp:{dst.qmp_path}',
                                 '--via', uri, '--report', report], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **environment})

    def test_the_guest_moves_and_its_downtime_is_accounted_for(self):
        for version in ('7.2', '10.0'):
            with self.subTest(version), Guest(version, append=GUEST) as src, \
                    Guest(version, append=GUEST, incoming=True) as dst:
                src.wait_ready()
                report_path = os.path.join(scratch(), 'report.json')
                with self.migrate(src, dst, 'wherry://127.0.0.1:0?downtime=200ms', report_path) as process:
                    _, said = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 0, said)
                dst.wait_console(lambda _: dst.ticks(), 10, 'tick of the guest at the destination')
                self.assertEqual(src.bad() + dst.bad(), [])
                with open(report_path, encoding='utf-8') as file:
                    report = json.load(file)
                measured = report['downtime']['measured']
                self.assertGreater(measured['pages'], 0)
                self.assertGreater(measured['placed'], 0)
                # It is the parts' sum; between these two events nothing is left out.
                self.assertGreaterEqual(round(measured['total'], 3), round(report['switchover_ms'], 3))
                self.assertEqual(set(report['downtime']['predicted']), set(measured))
                for guest in (src, dst):
                    self.assertEqual('switchover-ack' in capabilities(guest), version != '7.2')

    def test_a_directory_for_temporary_files_that_is_too_long_for_sockets_or_none(self):
        too_long = os.path.join(scratch(), 'd' * 200)
        os.mkdir(too_long)
        for directory in (too_long, '/nonexistent'):
            with self.subTest(directory), Guest('10.0', append=GUEST) as src, Guest('10.0', append=GUEST, incoming=True) as dst:
                src.wait_ready()
                report = os.path.join(scratch(), 'report')
                with self.migrate(src, dst, 'wherry://127.0.0.1:0', report, TMPDIR=directory) as process:
                    _, said = process.communicate(timeout=60)
                self.assertEqual((process.returncode, os.listdir(too_long)), (0, []), said)
                self.assertEqual(dst.status(), 'running')

    def test_what_was_set_at_the_source_is_set_back(self):
        with Guest('10.0', append=GUEST) as src, Guest('10.0', append=GUEST, incoming=True) as dst:
            src.wait_ready()
            before = capabilities(src), src.execute('query-migrate-parameters')
            with self.migrate(src, dst, 'wherry://127.0.0.1:0?bandwidth=8Mbps', os.path.join(scratch(), 'report')) as process:
                wait_until(lambda: src.execute('query-migrate').get('ram', {}).get('transferred', 0) > 0, 20,
                           'pages on their way')
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 130, said)
            self.assertEqual((capabilities(src), src.execute('query-migrate-parameters')), before)
            ticks = len(src.ticks())
            src.wait_console(lambda _: len(src.ticks()) > ticks, 10, 'tick of the guest that stays')


if __name__ == '__main__':
    unittest.main()
