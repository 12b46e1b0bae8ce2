"""Two minutes of tests/soak/ownership: whatever happens around the end of a migration, the guest runs on exactly one host.

The seed comes from the clock, so each run plays new cases. A fixed seed would not repeat them either, because much depends on
timing. Every violation is a bug; its line has the seed to play the case again.
"""
import subprocess
import unittest

from lab.guest import TESTS


class Soak(unittest.TestCase):
    def test_ownership(self):
        ran = subprocess.run([TESTS / 'soak/ownership', '--seconds', '120'], capture_output=True, text=True)
        print(ran.stdout.splitlines()[-1] if ran.stdout else ran.stderr)
        self.assertEqual(ran.returncode, 0, f'{ran.stdout}{ran.stderr}')


if __name__ == '__main__':
    unittest.main()
