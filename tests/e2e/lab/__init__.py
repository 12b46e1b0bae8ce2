"""The lab: building blocks of end-to-end tests and benchmarks. Python 3.11, standard library only; needs root.

Guest (a QEMU with our test guest), Qmp, Link (a network), Wherry (send, receive), Pair (all of these, ready to
migrate), native_migrate (the control), compare_ram; Hosts (two hosts with libvirt), Domain (our test guest on them);
Certificates (for TLS between the QEMUs); ENDED … (states of a migration); measure, measure_domain (one migration's
figures, for benchmarks); says, for what a message must name.
Everything is a context manager that leaves nothing behind; each module's docstring says how to use it.
"""
from .certificates import Certificates
from .domain import ABORTED, Domain
from .guest import VERSIONS, Guest, guest_kernel, qemu_path
from .hosts import Hosts
from .link import Link
from .measure import Way, measure
from .measure_domain import QemuEvents, measure_domain
from .migration import compare_ram, downtime_ms, native_migrate, page_hashes
from .pair import PAGES, Pair
from .process import scratch, spawn, wait_until
from .qmp import Qmp, QmpError
from .says import says
from .states import ENDED, ON_THE_WAY, STAYED
from .wherry import DEFAULT_PORT, Wherry, wherry_binary

__all__ = ['ABORTED', 'Certificates', 'DEFAULT_PORT', 'Domain', 'ENDED', 'Guest', 'Hosts', 'Link', 'ON_THE_WAY', 'PAGES',
           'Pair', 'QemuEvents', 'Qmp', 'QmpError', 'STAYED', 'VERSIONS', 'Way', 'Wherry', 'compare_ram', 'downtime_ms',
           'guest_kernel', 'measure', 'measure_domain', 'native_migrate', 'page_hashes', 'qemu_path', 'says', 'scratch',
           'spawn', 'wait_until', 'wherry_binary']
