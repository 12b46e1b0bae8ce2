/* The test guest's machine (machine.h): QEMU's pseries, big-endian and in real mode. It prints to the first spapr-vty. */
#include "machine.h"

extern void call_firmware(void *arguments, u64 entry);
extern long call_hypervisor(u64 number, u64, u64, u64, u64);
enum { H_PUT_TERM_CHAR = 0x58, H_CEDE = 0xe0 };

/* ---- console ---- */

void put_char(char c)
{
    enum { ANY_VTY = 0 };
    call_hypervisor(H_PUT_TERM_CHAR, ANY_VTY, 1, (u64)(u8)c << 56, 0);
}

/* ---- time: the time base, 512 MHz, a part of it ---- */

enum { TIME_BASE_HZ = 512000000, PART = 128 };

const u32 clock_hz = TIME_BASE_HZ / PART;
u32 clock_now(void)
{
    u64 now;
    __asm__ volatile("mfspr %0, 268" : "=r"(now));
    return now / PART;
}
u32 clock_since(u32 then) { return clock_now() - then; }

/* ---- sleep until the decrementer interrupts (used with verify= only; QEMU 7.2 forgets to, after a migration under TCG) ---- */

void sleep_setup(void)
{
    extern const u32 decrementer_interrupt[], decrementer_interrupt_end[];
    volatile u32 *vector = (volatile u32 *)0x900;
    for (const u32 *from = decrementer_interrupt; from < decrementer_interrupt_end; from++, vector++) {
        *vector = *from;
        __asm__ volatile("dcbst 0, %0; sync; icbi 0, %0; isync" : : "r"(vector) : "memory");
    }
}

void sleep_a_little(void)
{
    __asm__ volatile("mtdec %0" : : "r"(TIME_BASE_HZ / 500));
    call_hypervisor(H_CEDE, 0, 0, 0, 0);
}

void halt(void)
{
    sleep_setup();
    for (;;)
        sleep_a_little();
}

/* ---- what the firmware knows, by Open Firmware's client interface ---- */

static u64 firmware;

static u32 address_of(const void *what) { return (unsigned long)what; }

static u32 find_device(const char *path)
{
    static u32 call[5];
    call[0] = address_of("finddevice"), call[1] = 1, call[2] = 1, call[3] = address_of(path), call[4] = -1;
    call_firmware(call, firmware);
    return call[4];
}

static u32 get_property(const char *path, const char *name, void *to, u32 size) /* its length */
{
    static u32 call[8];
    call[0] = address_of("getprop"), call[1] = 4, call[2] = 1, call[3] = find_device(path), call[4] = address_of(name);
    call[5] = address_of(to), call[6] = size, call[7] = -1;
    call_firmware(call, firmware);
    return call[7];
}

/* ---- entry, from ppc64.S ---- */

void guest_main(u64 firmware_entry);
void guest_main(u64 firmware_entry)
{
    static char options[1024];
    static u64 memory[2]; /* address and size of the first piece */
    firmware = firmware_entry;
    if (get_property("/memory@0", "reg", memory, sizeof memory) != sizeof memory)
        fail("no memory size from the firmware", "");
    get_property("/chosen", "bootargs", options, sizeof options - 1);
    guest_run(options, memory[0] + memory[1]);
}
