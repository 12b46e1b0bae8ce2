"""Machine: QEMU's options for the test guest, by processor.

    MACHINES['s390x'].ram          for x86_64, s390x and ppc64; alpha has no test guest

kind      the default machine type, and `options` that follow it
ram       the name of QEMU's default RAM block
ram_unit  RAM must be a multiple of this, in KiB
packages  Debian packages with its QEMU in newer suites, besides qemu-system-x86
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Machine:
    kind: str
    ram: str
    ram_unit: int
    options: str = ''
    packages: tuple[str, ...] = ()


MACHINES = {
    'x86_64': Machine('pc', 'pc.ram', ram_unit=4),
    's390x': Machine('s390-ccw-virtio', 's390.ram', ram_unit=1 << 10, packages=('qemu-system-s390x',)),
    # Without its firmware, which takes seconds under TCG, and prints.
    'ppc64': Machine('pseries', 'ppc_spapr.ram', ram_unit=256 << 10, options='x-vof=on', packages=('qemu-system-ppc',)),
    # Its pages have 8 KiB. QEMU 7.2 does not survive their migration.
    'alpha': Machine('clipper', 'ram', ram_unit=8, packages=('qemu-system-misc',)),
}
