#!/usr/bin/env bash
# Under TCG, QEMU makes no barrier of an x86 guest's locked instruction if the guest can have one processor only.
#
# What one would expect: a guest that stores, executes a locked instruction and loads has its store seen before it loads, by
# QEMU's own threads and by other processes that share its memory too. Linux's virtio drivers count on it (smp_mb() is
# `lock addl`): they say in memory that there is work, and then look whether the device wants to be told.
# What happens: with -smp 1 the translated code has plain loads and stores for a locked instruction, and the processor of the host
# moves the load before the store. 7.2, 10.0 and 11.1 do so; 7.2 makes nothing of an mfence either. So a driver and its device
# can both believe that the other one knows: a kick or an interrupt is lost, and a virtio card stands still for good. (What runs
# here shows the order of the accesses, not a card.)
# What helps: -smp 1,maxcpus=2. With -icount that changes nothing; there, keep QEMU to one processor of the host.
#
# Runs Debian trixie's QEMU 10.0.13 from a temporary folder with a boot sector that does just that: it stores x and loads y, as
# often as a process beside it, which shares its memory, stores y and loads x. With barriers on both sides one of them at least
# sees the other's store. Needs gcc and the processors 0 and 1 of the host. Once it has that QEMU
# it takes less than a minute; it fails if the fault does not show.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
tests/e2e/qemu-from-suite trixie "$dir/qemu"
"$dir/qemu/qemu-system-x86_64" --version | head -n 1
"$dir/qemu/qemu-system-x86_64" --version | grep -q 'version 10\.0\.' || { echo 'another version than was looked at'; exit 1; }

cat >"$dir/guest.S" <<'ASSEMBLY'
.code16
    cli
    xor %ax, %ax
    mov %ax, %ss
    mov $0x7000, %sp
    mov $0x1000, %ax
    mov %ax, %ds
    xor %ecx, %ecx
    movl $1, 0x180      # here
next:
    mov 0x0, %eax       # the round
    cmp %ecx, %eax
    je next
    mov %eax, %ecx
    mov %eax, 0x40      # x
    lock addl $0, 0x140
    mov 0x80, %ebx      # y
    mov %ebx, 0xc0      # what of y it saw
    mov %eax, 0x100     # done
    jmp next
.org 510
.word 0xaa55
ASSEMBLY
gcc -m32 -c -o "$dir/guest.o" "$dir/guest.S"
objcopy -O binary -j .text "$dir/guest.o" "$dir/guest"

cat >"$dir/beside.c" <<'C'
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define AT(offset) (*(volatile uint32_t *)(memory + 0x10000 + (offset)))

int main(int argc, char **argv) {
    char *memory = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, open(argv[1], O_RDWR), 0);
    if (argc != 2 || memory == MAP_FAILED) return 1;
    while (!AT(0x180)) usleep(1000);
    int reordered = 0;
    uint32_t round = 0, chance = 1;
    for (time_t end = time(NULL) + 25; !reordered && time(NULL) < end;) {
        chance = chance * 1103515245 + 12345;
        AT(0) = ++round;
        for (uint64_t from = __rdtsc(), wait = (chance >> 12) % 1500; __rdtsc() - from < wait;) {}
        AT(0x80) = round;
        _mm_mfence();
        int seen = AT(0x40) == round;
        while (AT(0x100) != round) {}
        reordered = !seen && AT(0xc0) != round;
    }
    printf("%s in round %u\n", reordered ? "neither saw the other's store" : "nothing amiss yet", round);
    return reordered ? 0 : 2;
}
C
gcc -O2 -o "$dir/beside" "$dir/beside.c"

reordered() {  # reordered SMP
    rm -f "$dir/ram"
    truncate -s 16M "$dir/ram"
    taskset -c 0 "$dir/qemu/qemu-system-x86_64" -nodefaults -display none -accel tcg,thread=multi -smp "$1" -m 16 \
        -machine pc,memory-backend=ram -object "memory-backend-file,id=ram,size=16M,mem-path=$dir/ram,share=on" \
        -drive "file=$dir/guest,format=raw,snapshot=on" >/dev/null 2>&1 &
    echo "-smp $1:"
    local status=0
    timeout 50 taskset -c 1 "$dir/beside" "$dir/ram" || status=$?
    kill $!
    wait $! || true
    return $status
}
status=0
reordered 1
reordered 1,maxcpus=2 || status=$?
[ $status = 2 ]
