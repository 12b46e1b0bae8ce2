/*
 * What the test guest (guest.c) needs of the machine that it runs on. NAME.c and NAME.S have it for a
 * machine, which boots into NAME.S and calls guest_run; NAME.ld says where it lies. The linker script also
 * sets image_start and image_end, around what never changes, and free_memory, behind all that it occupies.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* A clock that goes on across a migration. It starts anew before a minute is over, and at the earliest after
 * 4 seconds. */
extern const u32 clock_hz;
u32 clock_now(void);
u32 clock_since(u32 then);

void put_char(char c); /* to the console; what is put there may stay until the end of its line */

void sleep_setup(void);    /* before sleep_a_little */
void sleep_a_little(void); /* some milliseconds */
void __attribute__((noreturn)) halt(void);

/* a / b for a quotient that fits 32 bits */
static inline u32 divide(u64 a, u32 b, u32* rest) {
#ifdef __i386__ /* whose compiler would call a library */
  u32 quotient;
  __asm__("divl %4" : "=a"(quotient), "=d"(*rest) : "0"((u32)a), "1"((u32)(a >> 32)), "r"(b) : "cc");
  return quotient;
#else
  *rest = a % b;
  return a / b;
#endif
}

/* What guest.c has for the machine. `what` is printed up to its first blank. */
void __attribute__((noreturn)) fail(const char* why, const char* what);
void __attribute__((noreturn)) guest_run(const char* command_line, unsigned long end_of_memory);
