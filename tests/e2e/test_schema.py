"""Compares the QEMU states and settings that Wherry and the lab know with the schema of each QEMU."""
import os
import re
import subprocess
import unittest

from lab import ENDED, ON_THE_WAY, VERSIONS, Guest, qemu_path, wherry_binary


class Schema(unittest.TestCase):
    def test_wherry_knows_all_of_it(self):
        """Runs tests/qemu-glue/qemu_schema_test.cc with all QEMUs of the lab."""
        ran = subprocess.run([wherry_binary('unit_tests'), '--gtest_filter=QemuSchema.*'], capture_output=True, text=True,
                             env={**os.environ, 'WHERRY_QEMUS': ':'.join(map(qemu_path, VERSIONS))})
        self.assertEqual(ran.returncode, 0, ran.stdout)
        self.assertIn('1 test ran', re.sub(r'tests? from \d+ test suites? ran', 'test ran', ran.stdout))

    def test_the_lab_knows_the_states_of_a_migration(self):
        for version in VERSIONS:
            with self.subTest(version), Guest(version, incoming=True) as guest:
                types = {entry['name']: entry for entry in guest.execute('query-qmp-schema')}
                figures = types[types['query-migrate']['ret-type']]['members']
                states = types[next(each['type'] for each in figures if each['name'] == 'status')]['values']
                self.assertEqual(set(states) - {*ENDED, *ON_THE_WAY}, set())
                major, minor = [guest.execute('query-version')['qemu'][part] for part in ('major', 'minor')]
                self.assertEqual(f'{major}.{minor}', version, 'the lab has another QEMU: look at what is new, and name it')


if __name__ == '__main__':
    unittest.main()
