"""Every promise of docs/threat-model.md names tests that exist."""
import re
import unittest
from pathlib import Path

from lab.guest import TESTS

PAGE = TESTS.parent / 'docs/threat-model.md'
UNIT_TEST = re.compile(r'^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)', re.MULTILINE)
NAMED = re.compile(r'`(\w+(?:\.\w+)+|fuzz_\w+)`')


def unit_tests():
    return {f'{suite}.{name}' for path in TESTS.rglob('*_test.cc') for suite, name in UNIT_TEST.findall(path.read_text())}


def end_to_end_tests():
    for path in Path(__file__).parent.glob('test_*.py'):
        of = None
        for line in path.read_text().splitlines():
            if found := re.match(r'class (\w+)', line):
                of = found[1]
            elif found := re.match(r' +def (test_\w+)', line):
                yield f'{path.stem}.{of}.{found[1]}'


def fuzzers():
    return {path.stem for path in (TESTS / 'fuzz').glob('fuzz_*.cc')}


def rows(text):
    """The cells of each row of the tables that have a column of tests."""
    within = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if not line.startswith('|'):
            within = False
        elif within and not line.startswith('| ---'):
            yield cells
        within = within or cells[-1] == 'test'


class ThreatModel(unittest.TestCase):
    def test_tests_exist(self):
        there = unit_tests() | set(end_to_end_tests()) | fuzzers()
        named = {name for name in NAMED.findall(PAGE.read_text()) if not name.endswith(('.md', '.py', '.sock'))}
        self.assertGreater(len(named), 40)
        self.assertEqual(named - there, set())

    def test_every_promise_names_one(self):
        promises = list(rows(PAGE.read_text()))
        self.assertGreater(len(promises), 30)
        for cells in promises:
            with self.subTest(cells[0]):
                self.assertRegex(cells[-1], NAMED)


if __name__ == '__main__':
    unittest.main()
