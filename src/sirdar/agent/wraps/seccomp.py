"""The filter of system calls that sandboxed programs run under, as classic BPF (``seccomp(2)``, ``linux/filter.h``).

Everything is allowed but what no computation needs and what has let programs out of sandboxes before: kernel keys, modules,
tracing other processes, mounts and new namespaces, raw kernel interfaces, input pushed into a terminal.
"""

import errno
import struct
from collections.abc import Mapping
from typing import Any

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT, SECOND_ARGUMENT_AT = 0, 4, 16, 24
X32_BIT = 0x40000000
NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
TERMINAL_INPUT, CONSOLE_INPUT = 0x5412, 0x541C  # ioctl TIOCSTI, TIOCLINUX

# Numbers from the kernel's tables, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_X86_64 = {
    "acct": 163, "add_key": 248, "bpf": 321, "clock_adjtime": 305, "clock_settime": 227, "delete_module": 176, "fanotify_init": 300,
    "finit_module": 313, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433, "init_module": 175, "io_uring_enter": 426,
    "io_uring_register": 427, "io_uring_setup": 425, "ioperm": 173, "iopl": 172, "kcmp": 312, "kexec_file_load": 320,
    "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212, "mount": 165, "mount_setattr": 442, "move_mount": 429,
    "name_to_handle_at": 303, "nfsservctl": 180, "open_by_handle_at": 304, "open_tree": 428,
    "perf_event_open": 298, "pivot_root": 155, "process_vm_readv": 310, "process_vm_writev": 311,
    "ptrace": 101, "quotactl": 179, "quotactl_fd": 443, "reboot": 169, "request_key": 249, "setdomainname": 171, "sethostname": 170,
    "setns": 308, "settimeofday": 164, "swapoff": 168, "swapon": 167, "syslog": 103, "umount2": 166, "unshare": 272,
    "uselib": 134, "userfaultfd": 323, "vhangup": 153,
}  # fmt: skip
_GENERIC = {
    "acct": 89, "add_key": 217, "bpf": 280, "clock_adjtime": 266, "clock_settime": 112, "delete_module": 106, "fanotify_init": 262,
    "finit_module": 273, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433, "init_module": 105, "io_uring_enter": 426,
    "io_uring_register": 427, "io_uring_setup": 425, "kcmp": 272, "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219,
    "lookup_dcookie": 18, "mount": 40, "mount_setattr": 442, "move_mount": 429, "name_to_handle_at": 264,
    "nfsservctl": 42, "open_by_handle_at": 265, "open_tree": 428, "perf_event_open": 241, "pivot_root": 41,
    "process_vm_readv": 270, "process_vm_writev": 271, "ptrace": 117, "quotactl": 60, "quotactl_fd": 443, "reboot": 142,
    "request_key": 218, "setdomainname": 162, "sethostname": 161, "setns": 268, "settimeofday": 170, "swapoff": 225,
    "swapon": 224, "syslog": 116, "umount2": 39, "unshare": 97, "userfaultfd": 282, "vhangup": 58,
}  # fmt: skip


# machine -> (audit architecture, numbers of what is denied, clone, clone3, ioctl)
_MACHINES: Mapping[str, tuple[int, Mapping[str, int], int, int, int]] = {
    "x86_64": (0xC000003E, _X86_64, 56, 435, 16),
    "aarch64": (0xC00000B7, _GENERIC, 220, 435, 29),
    "riscv64": (0xC00000F3, _GENERIC, 220, 435, 29),
}


DENIED = frozenset(_X86_64) | frozenset(_GENERIC)


def without(profile: Mapping[str, Any]) -> dict[str, Any]:
    """A profile of a container engine (OCI's format: what is allowed) without what is denied here, or allowed for a capability."""
    kept = []
    for rule in profile["syscalls"]:
        names = [name for name in rule["names"] if name not in DENIED and name not in {"clone", "clone3"}]
        if names and not (rule.get("includes") or {}).get("caps"):
            kept.append({**rule, "names": names})
    plain = {"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    kept.append({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [plain]})
    kept.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS})
    return {**profile, "syscalls": kept}


def filter_for(machine: str) -> bytes | None:
    """The program for a machine as ``uname`` names it; None for those that are not known.

    Calls of another architecture (32-bit ones on x86) get EPERM. ``clone3`` gets ENOSYS: its flags lie in memory, which a filter
    cannot see, and C libraries fall back to ``clone``.
    """
    if machine not in _MACHINES:
        return None
    architecture, denied, clone, clone3, ioctl = _MACHINES[machine]
    no, unknown = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
    steps: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, no),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if machine == "x86_64":
        steps += [(AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, no)]
    for number in sorted(denied.values()):
        steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, no)]
    steps += [(EQUAL, 0, 1, clone3), (RETURN, 0, 0, unknown)]
    steps += [
        (EQUAL, 0, 4, clone),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        (ANY_BIT, 0, 1, NEW_NAMESPACES),
        (RETURN, 0, 0, no),
    ]
    steps += [(RETURN, 0, 0, ALLOW)]
    steps += [(EQUAL, 0, 4, ioctl), (LOAD, 0, 0, SECOND_ARGUMENT_AT)]
    steps += [(EQUAL, 1, 0, TERMINAL_INPUT), (EQUAL, 0, 1, CONSOLE_INPUT), (RETURN, 0, 0, no)]
    steps += [(RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
