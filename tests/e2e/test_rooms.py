"""scripts/rooms reports an include that the table of rooms does not allow, and a row that no include needs."""
import subprocess
import unittest
from pathlib import Path

from lab import scratch
from lab.guest import TESTS

ROOMS = TESTS.parent / 'scripts/rooms'
TABLE = """# Architecture

## Rooms

| room | holds | uses |
| --- | --- | --- |
| `transport/lane/` | lanes, `frames` | {lane} |
| `base/` | errors | {base} |

## Next
"""


class Rooms(unittest.TestCase):
    def check(self, lane='`base/`', base='–', **files):
        tree = Path(scratch()) / 'tree'
        files = {'base/fd.h': '', 'transport/lane/lane.h': '#include "base/fd.h"\n', **files}
        for name, text in {**files, 'docs/architecture.md': TABLE.format(lane=lane, base=base)}.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([ROOMS, tree], capture_output=True, text=True)
        self.assertEqual(done.stderr, '')
        return done.returncode, done.stdout

    def assertFault(self, fault, **tree):
        status, said = self.check(**tree)
        self.assertIn(fault, said)
        self.assertEqual(status, 1)

    def test_what_the_table_has(self):
        status, said = self.check()
        self.assertEqual((status, said.count('\n')), (0, 1), said)

    def test_an_include_upward(self):
        self.assertFault('base/fd.h includes transport/lane/lane.h: base/ does not use transport/lane/',
                         **{'base/fd.h': '#include "transport/lane/lane.h"\n'})

    def test_an_include_that_the_row_does_not_have(self):
        self.assertFault('transport/lane/lane.h includes base/fd.h', lane='–')

    def test_a_row_that_names_a_room_above(self):
        self.assertFault('the row of base/ names transport/lane/, which is not below it', base='`transport/lane/`')

    def test_a_row_that_names_what_is_not_used(self):
        self.assertFault('the row of transport/lane/ names base/, which it does not use', **{'transport/lane/lane.h': ''})

    def test_a_room_without_a_row(self):
        self.assertFault('compression/ has no row', **{'compression/batch.cc': ''})


if __name__ == '__main__':
    unittest.main()
