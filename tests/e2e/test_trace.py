"""--trace of a migration that lost a lane has the right events at both ends, and wherry report draws them. Its threads are named."""
import json
import subprocess
import unittest
from pathlib import Path

from lab import Pair, scratch, wait_until, wherry_binary

FAST = '10gbit'
SENDER = {'wherry', 'signals', 'trace', 'control', 'intake', 'channel main', 'way back',
          *(name for lane in range(3) for name in (f'lane {lane}', f'lane {lane} watch'))}
RECEIVER = {'wherry', 'signals', 'trace', 'control', 'greeter', 'landing main', 'return main', 'lane 0', 'lane 1', 'lane 2'}


def thread_names(wherry):
    return sorted(path.read_text().strip() for path in Path(f'/proc/{wherry.process.pid}/task').glob('*/comm'))


def events(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


class Trace(unittest.TestCase):
    def test_a_killed_lane(self):
        directory = Path(scratch())
        traces = source, destination = directory / 'source.jsonl', directory / 'destination.jsonl'
        with Pair('7.2', keys='streams=3', rate='80mbit', wherries=False) as pair:
            pair.start_wherries(traces=traces)
            pair.migrate()
            pair.hold(1)
            for wherry, roles in ((pair.sender, SENDER), (pair.receiver, RECEIVER)):
                names = thread_names(wherry)
                self.assertLessEqual(roles, set(names))
                self.assertEqual(names.count('wherry'), 1, names)
            pair.link.reset_busiest('a')
            for trace in traces:
                wait_until(lambda: 'lane_lost' in trace.read_text(), 10, f'the lost lane in {trace}')
            pair.link.set_rate('a', FAST)
            report, _ = pair.complete()
        for trace, end in (source, 'source'), (destination, 'destination'):
            seen = events(trace)
            self.assertEqual({event['end'] for event in seen}, {end})
            times = [event['t'] for event in seen]
            self.assertEqual(times, sorted(times))
            names = [event['event'] for event in seen]
            self.assertEqual((names.count('lane_opened'), names.count('lane_lost'), names[-1]), (3, 1, 'done'), names)
            lost = seen[names.index('lane_lost')]
            self.assertTrue(lost['why'])
            self.assertIn(lost['lane'], range(3))
        names = [event['event'] for event in events(source)]
        for earlier, later in (('lane_opened', 'channel_opened'), ('lane_lost', 'lane_over'), ('lane_over', 'all_landed'),
                               ('blocks', 'may_be_there'), ('may_be_there', 'all_landed')):
            self.assertLess(names.index(earlier), names.index(later), names)
        (directory / 'report.json').write_text(json.dumps(report))
        page = subprocess.run([wherry_binary(), 'report', directory / 'report.json', '--trace', source], capture_output=True,
                              text=True, check=True).stdout
        self.assertIn('source: lane_lost lane=', page)


if __name__ == '__main__':
    unittest.main()
