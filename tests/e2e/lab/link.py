"""Link: two network namespaces, 'a' and 'b', joined by a cable of a given rate.

    with Link(rate='1gbit') as link:
        link.run_in('a', ['wherry', 'send', …, f"wherry://{link.address('b')}"])

rate   of the Ethernet, in tc's notation ('1gbit'), in each direction; None = as fast as the kernel can
passes both ends have an MTU of 9000, and a router between them silently drops packets of more than this many bytes. IPv4
       only
Addresses: link.address('a'), link.address('b', 6) for IPv6. Needs root. Leaving the context removes both namespaces and
kills what runs in them. The next Link removes namespaces of dead test processes.
"""
import os
import re
import signal
import subprocess

from .process import end, in_namespace, owner_is_dead, spawn, unique_name

_NETNS = '/run/netns'
_ADDRESS = {('a', 4): '10.98.0.1', ('b', 4): '10.98.0.2', ('a', 6): 'fd98::1', ('b', 6): 'fd98::2'}
_UNITS = {'kbit': 1e3, 'mbit': 1e6, 'gbit': 1e9}
_COUNTED = 1514 / 1538  # share of a full Ethernet frame that tbf counts: without preamble, checksum and gap


def _ip(*args):
    subprocess.run(['ip', *args], check=True)


def _remove(netns):
    listed = subprocess.run(['ip', 'netns', 'pids', netns], capture_output=True, text=True)
    for pid in listed.stdout.split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    subprocess.run(['ip', 'netns', 'del', netns], stderr=subprocess.DEVNULL)


class Link:
    def __init__(self, rate=None, passes=None):
        for name in os.listdir(_NETNS) if os.path.isdir(_NETNS) else ():
            if owner_is_dead(name):
                _remove(name)
        self._name = unique_name()
        self._processes = []
        self._sides = 'arb' if passes else 'ab'
        try:
            self._set_up(rate, passes)
        except BaseException:
            self.close()
            raise

    def _set_up(self, rate, passes):
        for side in self._sides:
            _ip('netns', 'add', self.netns(side))
        if passes:
            self._route(passes)
        else:
            _ip('link', 'add', 'cable', 'netns', self.netns('a'), 'type', 'veth', 'peer', 'cable', 'netns', self.netns('b'))
        for side in 'ab':
            def ip(*args):
                _ip('-n', self.netns(side), *args)
            ip('link', 'set', 'lo', 'up')
            ip('address', 'add', f'{self.address(side)}/24', 'dev', 'cable')
            ip('address', 'add', f'{self.address(side, 6)}/64', 'dev', 'cable', 'nodad')
            ip('link', 'set', 'cable', 'up')
            if rate:
                self.set_rate(side, rate)

    def _route(self, passes):
        router = self.netns('r')
        _ip('-n', router, 'link', 'set', 'lo', 'up')
        for side, mtu in (('a', 9000), ('b', passes)):
            _ip('link', 'add', 'cable', 'netns', self.netns(side), 'mtu', '9000', 'type', 'veth',
                'peer', f'to-{side}', 'netns', router, 'mtu', str(mtu))
            _ip('-n', router, 'link', 'set', f'to-{side}', 'up')
            _ip('-n', router, 'route', 'add', self.address(side), 'dev', f'to-{side}')
        # Drops what the router itself sends: ICMP's "fragmentation needed".
        _ip('-n', router, 'rule', 'add', 'iif', 'lo', 'pref', '1', 'blackhole')
        for name in ('ip_forward', 'conf.to-a.proxy_arp', 'conf.to-b.proxy_arp'):
            subprocess.run(in_namespace(router, ['sysctl', '-qw', f'net.ipv4.{name}=1']), check=True)

    def set_rate(self, side, rate, device='cable'):
        """The rate at which `side` sends there. A burst is 1 ms or one GSO packet; at most 20 ms wait in the queue."""
        bits = float(rate[:-4]) * _UNITS[rate[-4:]] * _COUNTED
        burst = int(max(bits / 8 * 0.001, 66000))
        queue = int(burst + bits / 8 * 0.02)
        subprocess.run(['tc', '-n', self.netns(side), 'qdisc', 'replace', 'dev', device, 'root', 'tbf',
                        'rate', f'{bits:.0f}bit', 'burst', str(burst), 'limit', str(queue)], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in self._processes:
            end(process)
        for side in self._sides:
            _remove(self.netns(side))

    def netns(self, side):
        return f'{self._name}-{side}'

    def address(self, side, family=4):
        return _ADDRESS[side, family]

    def run_in(self, side, argv, **popen_args):
        """A Popen in that namespace; killed with the link at the latest."""
        self._processes.append(spawn(in_namespace(self.netns(side), argv), **popen_args))
        return self._processes[-1]

    def cut(self, side='a'):
        """Pulls the cable: packets are lost in both directions, connections stay open."""
        _ip('-n', self.netns(side), 'link', 'set', 'cable', 'down')

    def lose(self, side, on=True):
        """Drops everything that `side` sends, or stops dropping it; the other direction works."""
        _ip('-n', self.netns(side), 'route', 'add' if on else 'del', 'blackhole', self.address('ab'[side == 'a']))

    def reset_busiest(self, side='a'):
        """Resets the TCP connection over which `side` has moved the most bytes."""
        connections = {}
        for line in self._ss(side, '-i', 'state', 'established', 'src', f'{self.address(side)}/24').splitlines():
            moved = [int(n) for n in re.findall(r'\bbytes_(?:sent|received):(\d+)', line)]
            connections[line.split()[2].rsplit(':', 1)[1], line.split()[3].rsplit(':', 1)[1]] = sum(moved)
        local, remote = max(connections, key=connections.get)
        self._ss(side, '-K', 'state', 'established', f'sport = :{local} and dport = :{remote}')

    def reset_all(self, side='a'):
        """Resets all TCP connections of the cable, as a firewall that loses its state."""
        self._ss(side, '-K', 'state', 'established', 'src', f'{self.address(side)}/24')

    def connections(self, side):
        """The output of `ss` for the TCP connections there."""
        return self._ss(side)

    def _ss(self, side, *args):
        return subprocess.run(['ip', 'netns', 'exec', self.netns(side), 'ss', '-HtnO', *args], check=True,
                              capture_output=True, text=True).stdout

    def mend(self, side='a'):
        _ip('-n', self.netns(side), 'link', 'set', 'cable', 'up')
        _ip('-n', self.netns(side), 'address', 'replace', f'{self.address(side, 6)}/64', 'dev', 'cable', 'nodad')
