"""The manual pages and the bash completion have exactly the subcommands and options that --help prints, and the keys that an
error message lists as known."""
import re
import subprocess
import unittest

from lab import wherry_binary
from lab.guest import TESTS

ROOT = TESTS.parent


def output(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    return done.stdout + done.stderr


def options(text):
    """The options at the start of lines of --help, or of a section of a manual page."""
    return set(re.findall(r'^ +(?:-\w,)?(--[\w-]+)', text, re.MULTILINE))


def subcommands():
    return re.findall(r'^  (\w+)', output(wherry_binary(), '--help').partition('\nSubcommands:')[2], re.MULTILINE)


def manual(page):
    """The page's sections by title; the tag of each paragraph (.TP) becomes a line of its own, indented as in --help."""
    text = (ROOT / 'docs/man' / page).read_text().replace('\\-', '-')
    text = re.sub(r'^\.TP\n\.\w+ (?:-\w ", " )?(.*)$', r'    \1', text, flags=re.MULTILINE)
    return dict(section.split('\n', 1) for section in re.split(r'^\.S[HS] ', text, flags=re.MULTILINE)[1:])


def tags(section):
    return set(re.findall(r'^    ([\w-]+)$', section, re.MULTILINE))


class Manual(unittest.TestCase):
    def test_options_of_wherry(self):
        page = manual('wherry.1')
        for command in subcommands():
            with self.subTest(command):
                self.assertIn(command, page)
                taken = options(output(wherry_binary(), command, '--help')) - {'--help'}
                self.assertEqual(options(page[command]), taken)
                self.assertIn(f'\\fBwherry {command}\\fR', page['SYNOPSIS'])

    def test_options_of_wherryd(self):
        self.assertEqual(options(manual('wherryd.8')['OPTIONS']), options(output(wherry_binary('wherryd'), '--help')))

    def test_keys_of_the_uri(self):
        message = output(wherry_binary(), 'send', '--qemu', 'unix:/x', '--to', 'wherry://h?unknown=1')
        self.assertEqual(tags(manual('wherry.1')['THE URI']), set(re.findall(r'[\w-]+', message.partition('known: ')[2])))

    def test_keys_of_the_configuration(self):
        example = (ROOT / 'docs/wherry.toml').read_text()  # a unit test compares it with the code
        common, peers = (set(re.findall(r'^#(\w+) = ', part, re.MULTILINE)) for part in example.split('#[peers.'))
        page = manual('wherry.toml.5')
        self.assertEqual(tags(page['KEYS']), common)
        self.assertEqual(tags(page['PEERS']), peers)


class Completion(unittest.TestCase):
    def complete(self, program, *words):
        script = '. "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2)); _wherry "$2"; printf "%s\\n" "${COMPREPLY[@]}"'
        return set(output('bash', '-c', script, 'bash', ROOT / 'qemu-glue/cli/completion.bash',
                          wherry_binary(program), *words).split())

    def test_subcommands(self):
        self.assertEqual(self.complete('wherry', ''), {*subcommands(), '-h', '--help', '--version'})
        self.assertEqual(self.complete('wherry', 'rec'), {'receive'})

    def test_options(self):
        for command in subcommands():
            with self.subTest(command):
                self.assertEqual(self.complete('wherry', command, '--'),
                                 options(output(wherry_binary(), command, '--help')))
        self.assertEqual(self.complete('wherryd', '--'), options(output(wherry_binary('wherryd'), '--help')))
        self.assertEqual(self.complete('wherry', 'migrate', '--from', 'qmp:/a', '--pau'), {'--paused'})

    def test_anything_else_is_a_file(self):
        self.assertEqual(self.complete('wherry', 'send', '--report', '/tm'), set())


if __name__ == '__main__':
    unittest.main()
