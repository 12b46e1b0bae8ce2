"""Names with several addresses, link-local addresses, one list of peers for a whole fleet, and paths relative to QEMU's
working directory."""
import contextlib
import json
import subprocess
import unittest

from lab import PAGES, Domain, Guest, Hosts, Pair, says, scratch, wait_until, wherry_binary

GATEWAY = 'qemu+unix:///system?socket=/run/wherry/{}/libvirt-sock'
# The same file on both hosts.
FLEET = '''
listen = "wherry://[::]"
insecure = true
route_timeout = 1
[peers.hosta]
address = "10.98.0.1,[fd98::1],[{}%25cable]"
libvirt = "manage"
[peers.hostb]
address = "10.98.0.2,[fd98::2],[{}%25cable]"
libvirt = "manage"
'''
# /etc/hosts as Debian's installer writes it for a host's own name, and as an administrator can correct it.
OWN_NAME = '127.0.1.1 {}\n'
ALL_ADDRESSES = '127.0.1.1 hostb\n10.98.0.2 hostb\nfd98::2 hostb\n10.98.0.1 hosta\n'


def link_local(netns):
    """The link-local address of that end of the cable, once it can be used."""
    def usable():
        listed = subprocess.run(['ip', '-n', netns, '-6', '-j', 'address', 'show', 'dev', 'cable', 'scope', 'link', '-tentative'],
                                check=True, capture_output=True).stdout
        addresses = [address for entry in json.loads(listed) for address in entry.get('addr_info', ())]
        return next((address['local'] for address in addresses if 'local' in address), None)
    return wait_until(usable, 10, 'link-local address')


class _Daemons(unittest.TestCase):
    @staticmethod
    def start(host, config):
        host.path('/run/wherry.toml').write_text(config)
        host.start('wherryd', [wherry_binary('wherryd'), '--config', '/run/wherry.toml'])
        host.wait_listening('wherryd', '/run/wherry/wherryd.sock')
        wait_until(lambda: 'listen = ' not in config or 'listening on' in host.log('wherryd'), 10, 'wherryd that listens')

    def doctor(self, host, *arguments):
        done = subprocess.run(host.inside([wherry_binary(), 'doctor', '--json', '--config', '/run/wherry.toml', *arguments]),
                              capture_output=True, text=True, timeout=60)
        return {each['about']: each for each in json.loads(done.stdout)}


class Fleet(_Daemons):
    """Two hosts with the same wherry.toml."""

    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts())
        fleet = FLEET.format(*(link_local(cls.hosts.link.netns(side)) for side in 'ab'))
        for host in cls.hosts:
            names = host.path('/run/hosts')
            names.write_text(OWN_NAME.format(host.name) + names.read_text())
            cls.start(host, fleet)

    def test_each_host_finds_itself_in_the_list_and_guests_go_to_and_fro(self):
        with Domain(self.hosts) as vm:
            vm.migrate(to=GATEWAY.format('hostb'))
            vm.check_runs_on(self.hosts.b)
            # A link-local address names a route on the other host as well.
            address = link_local(self.hosts.link.netns('a'))
            vm.migrate('--migrateuri', f'wherry://[{address}%25cable]', to=GATEWAY.format('hosta'), source=self.hosts.b)
            vm.check_runs_on(self.hosts.a)
        for host in self.hosts:
            self.assertFalse(host.path(f'/run/wherry/{host.name}/libvirt-sock').exists())

    def test_doctor_knows_that_this_host_is_in_the_list(self):
        found = self.doctor(self.hosts.a)
        self.assertEqual((found['peer hosta']['level'], found['peer hosta']['found']), ('ok', 'is this host'))
        for about in ('port', 'peer hostb'):
            self.assertEqual(found[about]['level'], 'ok', found[about])

    def test_a_guest_does_not_go_to_its_own_host(self):
        for uri in ('wherry://hosta', 'wherry://10.98.0.1', 'wherry://[fd98::1]'):
            with self.subTest(uri), self.assertRaisesRegex(RuntimeError, 'is this host'):
                self.hosts.a.run([wherry_binary(), 'route', uri])


class Names(_Daemons):
    """A host whose `listen` is its own name."""

    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts())
        cls.start(cls.hosts.a, 'insecure = true\nroute_timeout = 1\n[peers.hostb]\naddress = "10.98.0.2"\n')

    def listen(self, names):
        host = self.hosts.b
        host.path('/run/hosts').write_text(names)
        self.start(host, 'listen = "wherry://hostb"\ninsecure = true\n[peers.hosta]\naddress = "10.98.0.1,[fd98::1]"\nlibvirt = "manage"\n')
        self.addCleanup(host.kill, 'wherryd')

    def test_every_address_of_a_name_is_listened_on(self):
        self.listen(ALL_ADDRESSES)
        for address in ('10.98.0.2', '[fd98::2]', 'hostb'):
            route = self.hosts.a.run([wherry_binary(), 'route', f'wherry://{address}'])
            self.assertTrue(route.startswith(f"unix:///run/wherry/{address.strip('[]')}/"), route)
        self.assertEqual(self.doctor(self.hosts.b)['port']['level'], 'ok')
        says(self, self.hosts.b.log('wherryd'), '127.0.1.1', '10.98.0.2', 'fd98::2')

    def test_a_name_that_is_loopback_alone_is_said_to_be_so(self):
        self.listen('127.0.1.1 hostb\n10.98.0.1 hosta\n')
        says(self, self.hosts.b.log('wherryd'), 'cannot reach hostb')
        port = self.doctor(self.hosts.b)['port']
        self.assertEqual(port['level'], 'problem', port)
        says(self, port['found'], 'hostb', 'loopback')
        # The other host already has listen = "wherry://hostb".
        peer = self.doctor(self.hosts.a)['peer hostb']
        self.assertEqual(peer['level'], 'problem', peer)
        says(self, peer['remedy'], 'listen = "wherry://10.98.0.2:16520"')


class Links(unittest.TestCase):
    def test_a_links_address(self):
        with Pair(wherries=False) as pair:
            address = f"[{link_local(pair.link.netns('b'))}%25cable]"
            pair.start_wherries(listen=address, to=address)
            pair.migrate()
            sender, _ = pair.complete()
            self.assertTrue(all('%25cable]' in lane['peer'] for lane in sender['lanes']), sender['lanes'])

    def test_several_hosts_are_listened_on(self):
        with Pair(wherries=False) as pair:
            both = f"{pair.link.address('b')},[{pair.link.address('b', 6)}]"
            pair.start_wherries(listen=both, to=both)
            pair.migrate()
            sender, _ = pair.complete()
            self.assertEqual(len({lane['peer'] for lane in sender['lanes']}), 2, sender['lanes'])


class RelativePaths(unittest.TestCase):
    def test_a_relative_path_begins_at_qemus_directory(self):
        small = {'append': f'pages={PAGES} rate=2000 verify=2000', 'ram_kib': 49160}
        with Guest('10.0', **small) as src, contextlib.chdir(scratch()), \
                Guest('10.0', **small, autostart=False, extra=['-incoming', 'unix:in']) as dst:
            src.wait_ready()
            done = subprocess.run([wherry_binary(), 'migrate', '--from', f'qmp:{src.qmp_path}', '--to', f'qmp:{dst.qmp_path}'],
                                  cwd='/', capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            dst.wait_verified(PAGES)


if __name__ == '__main__':
    unittest.main()
