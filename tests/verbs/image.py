"""Kernel and initramfs of the VMs of the verbs lab: Debian's kernel, and an initramfs with access to the host's files and
soft-RoCE.

    kernel, initramfs = image()

The kernel is that of linux-image-amd64 (the flavour `cloud` has no soft-RoCE). It is downloaded into the cache of the tests on
first use and not installed. Delete it there to get a newer one, or put another Debian's there, for example to have soft-RoCE
with on-demand paging (from Linux 6.15 on). From 6.19 on, the kernel consists of three packages: linux-base-…, linux-binary-…
and linux-modules-…. It is unpacked to its ELF file, because unpacking itself under TCG would take seconds. The initramfs has
busybox, `init`, the modules below and `rdma`. Both are kept in build/verbs, and made again if the kernel, `init` or this file
changes.

Several processes can call it at once. Raises RuntimeError with the cause. Formats: the kernel's Documentation,
arch/x86/boot.rst (the payload) and driver-api/early-userspace/buffer-format.rst (newc).
"""
import fcntl
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

from lab.guest import CACHE, TESTS

_INIT = TESTS / 'verbs/init'
_BUILD = TESTS.parent / 'build/verbs'
_MODULES = ('virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay', 'virtio_net',
            'rdma_rxe', 'rdma_ucm', 'sch_netem', 'sch_tbf', 'sch_ingress', 'cls_u32', 'act_gact')


def image():
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / 'linux.lock', 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = sorted(CACHE.glob('linux-*.deb')) or [_fetch_kernel()]
        made_of = hashlib.sha256(b'\n'.join(
            [*(package.name.encode() for package in packages), Path(__file__).read_bytes(), _INIT.read_bytes()])).hexdigest()
        kernel, initramfs, stamp = (_BUILD / name for name in ('vmlinux', 'initramfs', 'made-of'))
        if not stamp.exists() or stamp.read_text(encoding='utf-8') != made_of:
            _BUILD.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=_BUILD) as work:
                for package in packages:
                    _run('dpkg-deb', '--extract', package, work)
                packed = [path for path in Path(work).rglob('vmlinuz*') if path.is_file()]
                if len(packed) != 1:
                    raise RuntimeError(f'{CACHE}/linux-*.deb have {len(packed)} kernels')
                _replace(kernel, _vmlinux(packed[0].read_bytes()))
                _replace(initramfs, _initramfs(work))
            _replace(stamp, made_of.encode())
    return kernel, initramfs


def _run(*argv, **arguments):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, **arguments)
    except FileNotFoundError as error:
        raise RuntimeError(f'there is no {argv[0]} (scripts/setup test installs it)') from error
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr.strip()}")
    return done.stdout


def _replace(path, content):
    """Replaces the file atomically: a VM that boots meanwhile gets the old file or the new one."""
    new = path.with_suffix('.new')
    new.write_bytes(content)
    os.replace(new, path)


def _fetch_kernel():
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        try:
            _download_kernel(work)
        except RuntimeError:  # apt's lists are missing or outdated
            _run('apt-get', '-qq', 'update')
            _download_kernel(work)
        [package] = Path(work).iterdir()
        return package.rename(CACHE / package.name)


def _download_kernel(directory):
    newest = re.search(r'linux-image-\d\S+', _run('apt-cache', 'depends', 'linux-image-amd64'))
    _run('apt-get', '-qq', '-o', 'APT::Sandbox::User=root', 'download', newest[0], cwd=directory)


def _vmlinux(boot_image):
    setup_sectors = boot_image[0x1f1] or 4
    offset, length = struct.unpack_from('<II', boot_image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    packed = boot_image[start:start + length - 4]  # the last 4 bytes are its unpacked length
    try:
        if packed.startswith(b'\x28\xb5\x2f\xfd'):
            return subprocess.run(['zstd', '-dc'], input=packed, stdout=subprocess.PIPE, check=True).stdout
        return lzma.decompress(packed)
    except (OSError, subprocess.CalledProcessError, lzma.LZMAError) as error:
        raise RuntimeError(f'cannot unpack the kernel: {error}') from error


def _initramfs(tree):
    files = {'init': _INIT}
    for program in ('busybox', 'rdma'):
        if not (found := shutil.which(program)):
            raise RuntimeError(f'there is no {program} (scripts/setup test installs it)')
        files[f'bin/{program}'] = Path(found)
    if subprocess.run(['ldd', files['bin/busybox']], capture_output=True).returncode == 0:
        raise RuntimeError(f"{files['bin/busybox']} is not static (scripts/setup test installs busybox-static)")
    for library in re.findall(r'(/\S+) \(0x', _run('ldd', files['bin/rdma'])):
        files[library[1:]] = Path(library)
    order = []
    for module in _modules(tree):
        name = module.name.removesuffix('.xz')
        order.append(f'{name}\n')
        files[f'modules/{name}'] = module

    directories = {'proc', 'sys', 'dev', 'host', 'memory', 'new'}
    directories.update(str(parent) for name in files for parent in Path(name).parents if parent.name)
    archive = b''.join(_entry(name, stat.S_IFDIR | 0o755) for name in sorted(directories))
    archive += b''.join(_entry(name, stat.S_IFREG | 0o755, _content(path)) for name, path in files.items())
    return archive + _entry('modules/order', stat.S_IFREG | 0o644, ''.join(order).encode()) + _entry('TRAILER!!!', 0)


def _modules(tree):
    """The modules' files, each after those that it needs."""
    if not Path(tree, 'lib').exists():
        Path(tree, 'lib').symlink_to('usr/lib')
    [release] = os.listdir(Path(tree, 'lib/modules'))
    _run('depmod', '-b', tree, release)
    # For the checksums of rdma_rxe's packets; built into newer kernels.
    crc = [module.stem for module in Path(tree).rglob('crc32_generic.ko')]
    shown = _run('modprobe', '-d', tree, '-S', release, '--show-depends', '--all', *_MODULES, *crc)
    return [Path(path) for path in dict.fromkeys(re.findall(r'^insmod (\S+)', shown, re.MULTILINE))]


def _content(path):
    """A module is unpacked and loses its signature, which the kernel would take long to check; other files are unchanged."""
    content = path.read_bytes()
    if path.suffix == '.xz':
        content = lzma.decompress(content)
    magic = b'~Module signature appended~\n'
    if not content.endswith(magic):
        return content
    signed = content[:-len(magic)]
    return signed[:-12 - int.from_bytes(signed[-4:], 'big')]


def _entry(name, mode, content=b''):
    def padded(data):
        return data + bytes(-len(data) % 4)
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    return padded(b'070701' + b''.join(b'%08x' % field for field in fields) + name.encode() + b'\0') + padded(content)
