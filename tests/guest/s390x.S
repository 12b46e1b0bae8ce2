/*
 * Entry and the waiting for interrupts of the test guest on s390x (see s390x.c). QEMU takes an ELF file that begins at 0x10000
 * for Linux: it starts there, in 64-bit mode, and writes the command line to 0x10480.
 */
        .text
        .globl _start
_start: larl %r15, stack_top - 160
        brasl %r14, guest_main
1:      j 1b
        .org _start + 0x480
        .globl command_line
command_line:
        .skip 896

/*
 * void wait_for_interrupt(u64 classes): until an external interrupt of these subclasses (bits of control register 0). None
 * comes at any other time. The new PSW of external interrupts is the instruction behind the wait.
 */
        .globl wait_for_interrupt
wait_for_interrupt:
        larl %r1, woken
        lghi %r3, 0x1b0
        stg %r1, 8(%r3)
        larl %r1, plain_mask
        mvc 0(8, %r3), 0(%r1)
        larl %r1, classes
        stg %r2, 0(%r1)
        lctlg %c0, %c0, 0(%r1)
        larl %r1, waiting_psw
        lpswe 0(%r1)
woken:  br %r14

        .section .rodata
        .align 8
plain_mask:
        .quad 0x0000000180000000 /* 64-bit mode, no interrupts */
waiting_psw:
        .quad 0x0102000180000000 /* external interrupts, and wait */
        .quad 0

        .bss
        .align 16
classes: .skip 8
        .align 16
        .skip 16384
stack_top:

        .section .note.GNU-stack, "", @progbits
