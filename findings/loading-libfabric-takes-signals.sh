#!/usr/bin/env bash
# A program that is linked with Debian 12's libfabric no longer dies of signals: it exits with status 1.
#
# What one would expect: a library that was loaded, and never called, changes nothing. SIGTERM ends a program that does not
# handle it, and its parent sees that in the wait status (a shell says 143).
# What happens: libfabric 1.17.0-3 is linked with every provider's library, among them libinfinipath (for Intel's TrueScale
# adapters). Its constructor handles SIGINT, SIGTERM, SIGABRT, SIGILL, SIGBUS and SIGSEGV. The handler exits with 1; of a crash
# it prints a backtrace before. So a supervisor takes a crash, or its own SIGTERM, for an ordinary error, and there is no core dump. A program
# that sees handlers at its start and respects them keeps them.
# What helps: IPATH_NO_BACKTRACE in the environment, or SIG_DFL for these signals at the beginning of main().
#
# Fetches the Debian packages below into a temporary folder and runs sleep(1) with and without the library. Prints the signals
# that are handled and the exit status after SIGTERM, and fails unless the library makes the difference.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
packages=(libfabric1=1.17.0-3 libpsm-infinipath1=3.3+20.604758e7-6.2 libpsm2-2=11.2.185-2 librdmacm1=44.0-2 libibverbs1=44.0-2)
apt-get download -q "${packages[@]}" > apt.log 2>&1 || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb --extract "$package" root; done
libraries=$dir/root/usr/lib/x86_64-linux-gnu:$dir/root/usr/lib/x86_64-linux-gnu/libpsm1
echo "packages: ${packages[*]}"

# Prints the signals that sleep(1) handles, and its exit status after SIGTERM; the environment is in the arguments.
try() {
  env "$@" sleep 60 &
  local process=$! status=0 handled
  until grep -q sleep "/proc/$process/comm" && grep -q '^State:.S' "/proc/$process/status"; do :; done
  handled=$(sed -n 's/^SigCgt:\t0*//p' "/proc/$process/status")
  kill -TERM "$process"
  wait "$process" || status=$?
  echo "handles ${handled:-none}, status $status"
}

alone=$(try A=b)
loaded=$(try LD_LIBRARY_PATH="$libraries" LD_PRELOAD=libfabric.so.1)
echo "alone:          $alone"
echo "with libfabric: $loaded"
helped=$(try LD_LIBRARY_PATH="$libraries" LD_PRELOAD=libfabric.so.1 IPATH_NO_BACKTRACE=1)
echo "and with IPATH_NO_BACKTRACE=1: $helped"
[ "$alone" = 'handles none, status 143' ] && [ "$loaded" = 'handles 446a, status 1' ] && [ "$helped" = "$alone" ]
