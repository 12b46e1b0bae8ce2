"""Compiler warnings: they are errors in CI's presets, and not in a build without a preset, as users and distributions make it
with their own compilers and flags."""
import json
import subprocess
import unittest
from pathlib import Path

from lab import scratch
from lab.guest import TESTS


class Build(unittest.TestCase):
    def commands(self, *configure):
        directory = Path(scratch()) / 'build'
        done = subprocess.run(['cmake', '-S', TESTS.parent, '-B', directory, *configure], capture_output=True, text=True,
                              cwd=TESTS.parent)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [each['command'].split() for each in json.loads((directory / 'compile_commands.json').read_text())]

    def test_a_warning_is_an_error_in_presets_alone(self):
        for configure, errors in ((['-DCMAKE_BUILD_TYPE=Release'], False), (['--preset', 'release'], True)):
            commands = self.commands(*configure)
            self.assertGreater(len(commands), 20)
            for command in commands:
                self.assertIn('-Wall', command)
                self.assertEqual('-Werror' in command, errors, command)


if __name__ == '__main__':
    unittest.main()
