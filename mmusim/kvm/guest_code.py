"""The guest: a loop that touches memory and times every access, at user privilege.

It has no interrupt table, no stack and no operating system. It runs in long mode at CPL 3, which
hardware KVM and software-nested KVM both support, with IOPL 3 so that its ``outb`` reaches user
space. The second column of the listing is the machine code. A test assembles the third column again
where binutils are installed.

Timing uses fenced reads of the time-stamp counter: ``lfence; rdtsc; lfence`` before the access,
``lfence; rdtsc`` after. A load counts until its data arrive, a store until it retires. So
translation and every fault are included, and the way out of the store buffer is not.

Registers at `start`: rdi the accesses (u64 each: guest address, + 1 for a write), rsi their number
(at least 1), r12 the address for latencies (u32 cycles; 0: nothing is timed or stored), r13 that
for starts (u64, time-stamp counter), r9 cycles of work before each timed access. At `ask` the guest
executes ``cpuid`` rsi times in place of accesses: an exit that the kernel handles by itself.
"""

from __future__ import annotations

from typing import Final

LISTING: Final = """
0000  31 c9             start:  xor     %ecx,%ecx
0002  48 8b 1c cf       next:   mov     (%rdi,%rcx,8),%rbx
0006  49 89 db                  mov     %rbx,%r11
0009  49 83 e3 f8               and     $-8,%r11
000d  4d 85 e4                  test    %r12,%r12
0010  74 65                     jz      plain
0012  4d 85 c9                  test    %r9,%r9
0015  74 1d                     jz      ready
0017  0f 31                     rdtsc
0019  48 c1 e2 20               shl     $32,%rdx
001d  48 09 d0                  or      %rdx,%rax
0020  49 89 c6                  mov     %rax,%r14
0023  0f 31             think:  rdtsc
0025  48 c1 e2 20               shl     $32,%rdx
0029  48 09 d0                  or      %rdx,%rax
002c  4c 29 f0                  sub     %r14,%rax
002f  4c 39 c8                  cmp     %r9,%rax
0032  72 ef                     jb      think
0034  0f ae e8          ready:  lfence
0037  0f 31                     rdtsc
0039  0f ae e8                  lfence
003c  48 c1 e2 20               shl     $32,%rdx
0040  48 09 d0                  or      %rdx,%rax
0043  49 89 c0                  mov     %rax,%r8
0046  f6 c3 01                  test    $1,%bl
0049  74 05                     jz      load
004b  49 89 0b                  mov     %rcx,(%r11)
004e  eb 03                     jmp     done
0050  49 8b 03          load:   mov     (%r11),%rax
0053  0f ae e8          done:   lfence
0056  0f 31                     rdtsc
0058  48 c1 e2 20               shl     $32,%rdx
005c  48 09 d0                  or      %rdx,%rax
005f  4c 29 c0                  sub     %r8,%rax
0062  41 89 04 8c               mov     %eax,(%r12,%rcx,4)
0066  4d 89 44 cd 00            mov     %r8,(%r13,%rcx,8)
006b  48 ff c1          more:   inc     %rcx
006e  48 39 f1                  cmp     %rsi,%rcx
0071  72 8f                     jb      next
0073  e6 10                     outb    %al,$0x10
0075  eb 89                     jmp     start
0077  f6 c3 01          plain:  test    $1,%bl
007a  74 05                     jz      read
007c  49 89 0b                  mov     %rcx,(%r11)
007f  eb ea                     jmp     more
0081  49 8b 03          read:   mov     (%r11),%rax
0084  eb e5                     jmp     more
0086  45 31 ff          ask:    xor     %r15d,%r15d
0089  0f ae e8          again:  lfence
008c  0f 31                     rdtsc
008e  0f ae e8                  lfence
0091  48 c1 e2 20               shl     $32,%rdx
0095  48 09 d0                  or      %rdx,%rax
0098  49 89 c0                  mov     %rax,%r8
009b  31 c0                     xor     %eax,%eax
009d  31 c9                     xor     %ecx,%ecx
009f  0f a2                     cpuid
00a1  0f ae e8                  lfence
00a4  0f 31                     rdtsc
00a6  48 c1 e2 20               shl     $32,%rdx
00aa  48 09 d0                  or      %rdx,%rax
00ad  4c 29 c0                  sub     %r8,%rax
00b0  43 89 04 bc               mov     %eax,(%r12,%r15,4)
00b4  4f 89 44 fd 00            mov     %r8,(%r13,%r15,8)
00b9  49 ff c7                  inc     %r15
00bc  49 39 f7                  cmp     %rsi,%r15
00bf  72 c8                     jb      again
00c1  e6 10                     outb    %al,$0x10
00c3  eb c1                     jmp     ask
"""

START: Final = 0x0000
ASK: Final = 0x0086


def _bytes(listing: str) -> bytes:
    return b"".join(bytes.fromhex(line[6:22]) for line in listing.strip().splitlines())


GUEST_CODE: Final = _bytes(LISTING)


def source(listing: str = LISTING) -> str:
    """Return the listing as source text for an assembler."""
    lines = (line[24:] for line in listing.strip().splitlines())
    return ".code64\n" + "\n".join(lines) + "\n"
