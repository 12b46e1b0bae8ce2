"""Certificates: two authorities, and QEMU's TLS credentials from them, for the client and the server of a migration.

    certificates = Certificates()
    Guest(**certificates.end('server'), …)     with the migration's parameters tls-creds=tls, tls-hostname=peer
"""
import os
import subprocess
from pathlib import Path

from .process import scratch


class Certificates:
    def __init__(self):
        self._directory = scratch()
        for authority in ('known', 'other'):
            self._key(authority)
            self._certtool('--generate-self-signed', authority, 'cn=authority\nca\ncert_signing_key\n')

    def _path(self, name):
        return os.path.join(self._directory, name)

    def _run(self, *arguments):
        subprocess.run(['certtool', *arguments], check=True, capture_output=True)

    def _key(self, name):
        self._run('--generate-privkey', '--key-type', 'ecdsa', '--outfile', self._path(f'{name}-key.pem'))

    def _certtool(self, command, name, template, *arguments):
        with open(self._path('template'), 'w') as file:
            file.write(template)
        self._run(command, '--load-privkey', self._path(f'{name}-key.pem'), '--template', self._path('template'),
                  '--outfile', self._path(f'{name}-cert.pem'), *arguments)

    def end(self, endpoint, authority='known'):
        """Options of Guest, for the 'client' or the 'server'. An end of the other authority also trusts the known one; it must
        trust its own, because QEMU checks its own certificate too."""
        directory = f'{endpoint}-{authority}'
        if not os.path.exists(self._path(directory)):
            os.mkdir(self._path(directory))
            name = f'{directory}/{endpoint}'
            self._key(name)
            self._certtool('--generate-certificate', name, f'cn=peer\ndns_name=peer\ntls_www_{endpoint}\nsigning_key\n',
                           '--load-ca-certificate', self._path(f'{authority}-cert.pem'),
                           '--load-ca-privkey', self._path(f'{authority}-key.pem'))
            with open(self._path(f'{directory}/ca-cert.pem'), 'wb') as file:
                for trusted in {authority, 'known'}:
                    file.write(Path(self._path(f'{trusted}-cert.pem')).read_bytes())
        return {'extra': ('-object', f'tls-creds-x509,id=tls,dir={self._path(directory)},endpoint={endpoint},verify-peer=on')}
