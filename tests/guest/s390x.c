/* The test guest's machine (machine.h): QEMU's s390-ccw-virtio. It prints to the SCLP's ASCII console, a line at a time. */
#include "machine.h"

extern const char command_line[];
extern void wait_for_interrupt(u64 classes);
enum { CLOCK_COMPARATOR = 0x800, SERVICE_SIGNAL = 0x200 }; /* subclasses of external interrupts */

/* ---- SCLP, QEMU's way to the console and to what the machine has ---- */

struct sccb {
    u16 length;
    u8 function, control[3];
    u16 response;
    union {
        struct { u16 length; u8 type, flags; u16 reserved; char text[200]; } __attribute__((packed)) write;
        struct { u16 increments; u8 increment_mib; u8 rest[4000]; } read;
    };
} __attribute__((packed, aligned(4096)));

static void service_call(u32 command, struct sccb *sccb)
{
    __asm__ volatile(".insn rre, 0xb2200000, %0, %1" /* servc */ : : "r"(command), "r"(sccb) : "cc", "memory");
    wait_for_interrupt(SERVICE_SIGNAL);
}

void put_char(char c)
{
    enum { WRITE_EVENT_DATA = 0x00760005, ASCII_CONSOLE = 0x1a, HEADER = 8, EVENT_HEADER = 6 };
    static struct sccb sccb;
    static u32 length;
    sccb.write.text[length++] = c;
    if (c != '\n' && length < sizeof sccb.write.text)
        return;
    sccb.length = HEADER + EVENT_HEADER + length;
    sccb.write.length = EVENT_HEADER + length;
    sccb.write.type = ASCII_CONSOLE;
    service_call(WRITE_EVENT_DATA, &sccb);
    length = 0;
}

static unsigned long end_of_memory(void)
{
    enum { READ_SCP_INFO = 0x00020001, DONE = 0x10 };
    static struct sccb sccb;
    sccb.length = sizeof sccb;
    service_call(READ_SCP_INFO, &sccb);
    if ((sccb.response & 0xff) != DONE || !sccb.read.increments)
        fail("no memory size from the SCLP", "");
    return ((unsigned long)sccb.read.increments * sccb.read.increment_mib) << 20;
}

/* ---- time: the TOD clock, whose bit 51 is a microsecond ---- */

static u64 tod(void)
{
    u64 now;
    __asm__ volatile("stck %0" : "=Q"(now) : : "cc");
    return now;
}

const u32 clock_hz = 1000000;
u32 clock_now(void) { return tod() >> 12; }
u32 clock_since(u32 then) { return clock_now() - then; }

void sleep_setup(void) {}
void sleep_a_little(void)
{
    u64 when = tod() + (2000 << 12);
    __asm__ volatile("sckc %0" : : "Q"(when));
    wait_for_interrupt(CLOCK_COMPARATOR);
}

void halt(void)
{
    for (;;)
        wait_for_interrupt(0);
}

/* ---- entry, from s390x.S ---- */

void guest_main(void);
void guest_main(void) { guest_run(command_line, end_of_memory()); }
