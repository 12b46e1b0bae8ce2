"""wherry doctor on a host where nothing is set up, and on two hosts where a migration would work."""
import json
import subprocess
import unittest

from lab import Hosts, says, scratch, wherry_binary

CONFIG = '''
listen = "wherry://{name}"
insecure = true
[peers.{other}]
address = "{address}"
libvirt = "manage"
'''
DOWN = '''
[peers.nowhere]
address = "127.0.0.1:1"
'''


class NothingSetUp(unittest.TestCase):
    def doctor(self, *arguments):
        return subprocess.run([wherry_binary(), 'doctor', *arguments], capture_output=True, text=True, timeout=30)

    def test_it_says_what_to_start(self):
        done = self.doctor('--config', self.config(f'runtime_dir = "{scratch()}/wherry"\n'))
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stdout, r'(?m)^problem +wherryd +does not run: .* -> start wherryd')
        self.assertRegex(done.stdout, r'(?m)^problem +directory +there is no .*/wherry -> ')
        self.assertRegex(done.stdout, r'(?m)^ok +configuration ')
        self.assertTrue(done.stdout.isascii())

    def test_a_host_that_is_named_is_looked_at(self):
        done = self.doctor('--json', 'wherry://127.0.0.1:1')
        [peer] = [each for each in json.loads(done.stdout) if each['about'] == 'peer 127.0.0.1']
        self.assertEqual((done.returncode, peer['level']), (1, 'problem'))
        says(self, peer['found'], '127.0.0.1:1')
        says(self, peer['remedy'], 'wherryd')

    def test_usage(self):
        for arguments, named in ((['http://h'], 'http://h'), (['--fast'], '--fast')):
            with self.subTest(arguments):
                done = self.doctor(*arguments)
                self.assertEqual(done.returncode, 2, done)
                says(self, done.stderr, named)

    def config(self, text):
        path = f'{scratch()}/wherry.toml'
        with open(path, 'w', encoding='utf-8') as file:
            file.write('listen = "wherry://127.0.0.1"\n' + text)
        return path


class TwoHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts())
        for host, other in ((cls.hosts.a, cls.hosts.b), (cls.hosts.b, cls.hosts.a)):
            host.path('/run/wherry.toml').write_text(CONFIG.format(name=host.name, other=other.name, address=other.address))
            host.start('wherryd', [wherry_binary('wherryd'), '--config', '/run/wherry.toml'])
            host.wait_listening('wherryd', f'/run/wherry/{other.name}/libvirt-sock')

    def doctor(self, config, prefix=()):
        done = subprocess.run(map(str, self.hosts.a.inside([*prefix, wherry_binary(), 'doctor', '--json', '--config', config])),
                              capture_output=True, text=True, timeout=30)
        self.assertIn(done.returncode, (0, 1), done)
        return done.returncode, {each['about']: each for each in json.loads(done.stdout)}

    def test_all_is_well(self):
        self.hosts.b.wait_listening('wherryd', '/run/wherry/wherryd.sock')
        code, found = self.doctor('/run/wherry.toml')
        self.assertEqual((code, [each for each in found.values() if each['level'] == 'problem']), (0, []))
        for about in ('libvirt', 'qemu', 'configuration', 'directory', 'wherryd', 'port', 'peer hostb'):
            self.assertEqual(found[about]['level'], 'ok', found[about])
        self.assertEqual(found['secrecy']['level'], 'note')

    def test_a_user_who_may_not_see_all_is_told_so(self):
        code, found = self.doctor('/run/wherry.toml', ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'])
        self.assertEqual((code, found['wherryd']['level'], found['peer hostb']['level']), (0, 'note', 'ok'), found)
        says(self, found['wherryd']['remedy'], 'as root')

    def test_a_peer_that_is_down_is_named(self):
        text = CONFIG.format(name='hosta', other='hostb', address=self.hosts.b.address) + DOWN
        self.hosts.a.path('/run/down.toml').write_text(text)
        code, found = self.doctor('/run/down.toml')
        problems = [each for each in found.values() if each['level'] == 'problem']
        self.assertEqual((code, [each['about'] for each in problems]), (1, ['peer nowhere']))
        says(self, problems[0]['found'], '127.0.0.1:1')


if __name__ == '__main__':
    unittest.main()
