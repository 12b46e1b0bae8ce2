/* The test guest's machine (machine.h): QEMU's pc and q35. It runs in 32-bit mode and prints to COM1. */
#include "machine.h"

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static u8 in8(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static u32 in32(u16 port)
{
    u32 value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* ---- console ---- */

enum { COM1 = 0x3f8, LINE_STATUS = COM1 + 5, TRANSMITTER_EMPTY = 0x20 };

void put_char(char c)
{
    while (!(in8(LINE_STATUS) & TRANSMITTER_EMPTY))
        ;
    out8(COM1, c);
}

/* ---- time: the ACPI PM timer, 24 bits, which QEMU derives from the guest's virtual clock; SeaBIOS puts it here ---- */

enum { PM_TIMER = 0x608 };

const u32 clock_hz = 3579545;
u32 clock_now(void) { return in32(PM_TIMER) & 0xffffff; }
u32 clock_since(u32 then) { return (clock_now() - then) & 0xffffff; }

/* ---- sleep until the next timer interrupt (used with verify= only) ---- */

extern void timer_interrupt(void);
static u64 interrupt_gates[9];

void sleep_setup(void)
{
    enum { PIC_MASK = 0x21, PIC2_MASK = 0xa1, PIT = 0x40, PIT_MODE = 0x43, TIMER_VECTOR = 8, DIVIDER = 1193182 / 500 };
    u32 handler = (u32)timer_interrupt;
    interrupt_gates[TIMER_VECTOR] = (u64)(handler >> 16) << 48 | 0x8e0000080000ull | (handler & 0xffff);
    struct __attribute__((packed)) { u16 limit; u32 base; } idt = {sizeof interrupt_gates - 1, (u32)interrupt_gates};
    __asm__ volatile("lidt %0" : : "m"(idt));
    out8(PIC_MASK, 0xfe);
    out8(PIC2_MASK, 0xff);
    out8(PIT_MODE, 0x34); /* channel 0, both bytes, rate generator */
    out8(PIT, DIVIDER & 0xff);
    out8(PIT, DIVIDER >> 8);
}

void sleep_a_little(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }

void halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* ---- entry, from x86_64.S ---- */

struct multiboot { u32 flags, lower_kib, upper_kib, boot_device; const char *command_line; };

void guest_main(const struct multiboot *info);
void guest_main(const struct multiboot *info)
{
    enum { HAS_MEMORY = 1, HAS_COMMAND_LINE = 4 };
    const char *options = info->flags & HAS_COMMAND_LINE ? info->command_line : "";
    while (*options && *options != ' ') /* the name of the kernel file */
        options++;
    if (!(info->flags & HAS_MEMORY))
        fail("no memory size from the loader", "");
    u32 start = clock_now(), tries = 1000000;
    while (clock_now() == start)
        if (!--tries)
            fail("the ACPI PM timer stands still", "");
    guest_run(options, info->upper_kib >= (3u << 20) ? 0xc0000000 : (info->upper_kib + 1024) * 1024);
}
