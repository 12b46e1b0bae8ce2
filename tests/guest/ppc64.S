/*
 * Entry, calls of firmware and hypervisor, and the one interrupt handler of the test guest on ppc64 (see ppc64.c). The firmware
 * jumps to the first instruction of the image, in real mode and big-endian, with its own entry in r5.
 */
        .abiversion 2
        .text
        .globl _start
_start: mfmsr 0
        li 3, 1
        rldimi 0, 3, 63, 0 /* MSR[SF]: 64 bits, which not every firmware has switched on */
        mtmsrd 0
        lis 2, .TOC.@ha
        addi 2, 2, .TOC.@l
        lis 1, stack_top@ha
        addi 1, 1, stack_top@l
        li 0, 0
        stdu 0, -64(1)
        mr 3, 5
        bl guest_main
1:      b 1b

/* void call_firmware(void *arguments, u64 entry) */
        .globl call_firmware
call_firmware:
        mflr 0
        std 0, 16(1)
        stdu 1, -64(1)
        std 2, 24(1)
        mtctr 4
        bctrl
        ld 2, 24(1)
        addi 1, 1, 64
        ld 0, 16(1)
        mtlr 0
        blr

/* long call_hypervisor(u64 number, u64, u64, u64, u64) */
        .globl call_hypervisor
call_hypervisor:
        sc 1
        blr

/* What is copied to the vector of the decrementer: it only has to end an H_CEDE, which has let interrupts in. */
        .globl decrementer_interrupt, decrementer_interrupt_end
decrementer_interrupt:
        mtsprg 0, 3
        mtsprg 1, 4
        lis 3, 0x7fff
        mtdec 3
        mfsrr1 3
        li 4, 0
        ori 4, 4, 0x8000 /* MSR[EE] */
        andc 3, 3, 4
        mtsrr1 3
        mfsprg 4, 1
        mfsprg 3, 0
        rfid
decrementer_interrupt_end:

        .bss
        .align 4
        .skip 16384
stack_top:

        .section .note.GNU-stack, "", @progbits
