"""Two minutes of tests/soak/ownership: whatever happens around the end of a migration, its guest runs once and is not
lost.

The seed is the clock's, so that each run has cases of its own: a fixed one would not repeat them either, for much
depends on times that no seed gives. Whatever is found is a bug; its line has the seed to play it again.
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
