/* Entry, stack, segments and the one interrupt gate of the test guest on x86 (see x86_64.c). */
#define MULTIBOOT_MAGIC 0x1BADB002
#define MULTIBOOT_FLAGS 2 /* tell us how much memory there is */

        .section .multiboot, "a"
        .align 4
        .long MULTIBOOT_MAGIC
        .long MULTIBOOT_FLAGS
        .long -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

        .text
        .globl _start
_start: cli
        cld
        lgdt gdt_register
        ljmp $8, $1f
1:      mov $16, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov $stack_top, %esp
        push %ebx /* the multiboot information */
        call guest_main
2:      cli
        hlt
        jmp 2b

/* The timer interrupt only has to end a hlt. */
        .globl timer_interrupt
timer_interrupt:
        push %eax
        mov $0x20, %al
        out %al, $0x20
        pop %eax
        iret

        .section .rodata
        .align 8
gdt:    .quad 0
        .quad 0x00CF9A000000FFFF /* 8: code, flat */
        .quad 0x00CF92000000FFFF /* 16: data, flat */
gdt_register:
        .word . - gdt - 1
        .long gdt

        .bss
        .align 16
        .skip 16384
stack_top:

        .section .note.GNU-stack, "", @progbits
