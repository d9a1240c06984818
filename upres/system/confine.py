"""Take rights away from this process, for good: what reads files of strangers needs no network and writes nowhere.

On Linux: Landlock (landlock(7), ABI 1 to 7) for files, TCP, signals and abstract sockets; seccomp (seccomp(2)) for
sockets, other programs, and the ways around both. The rest is limits of resources, which macOS has too.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from upres.system import kernel_files

_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2  # prctl(2)

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on all machines
_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = (1 << 13) - 1  # of ABI 1
_RIGHTS_SINCE = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # to link elsewhere, to truncate, ioctl
_NETWORK_ABI, _SCOPE_ABI = 4, 6
_BOTH = 3  # bind and connect of TCP; abstract sockets and signals to others

# AUDIT_ARCH_* of the kernel, and the numbers of: socket, socketpair, connect, bind, listen, accept, accept4, execve,
# execveat, ptrace, process_vm_readv, process_vm_writev, kill, bpf, unshare, setns, mount, keyctl, add_key,
# request_key, userfaultfd, perf_event_open.
_ARCHITECTURES = {
    "x86_64": (
        0xC000003E,
        (41, 53, 42, 49, 50, 43, 288, 59, 322, 101, 310, 311, 62, 321, 272, 308, 165, 250, 248, 249, 323, 298),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 199, 203, 200, 201, 202, 242, 221, 281, 117, 270, 271, 129, 280, 97, 268, 40, 219, 217, 218, 282, 241),
    ),
}
_COMMON = (424, 425, 438)  # pidfd_send_signal, io_uring_setup, pidfd_getfd: the same on both
_X32 = 0x40000000  # other numbers for the same calls on x86-64
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # of classic BPF
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # EPERM
_AT_NUMBER, _AT_ARCHITECTURE = 0, 4  # in struct seccomp_data


def confine(readable: Iterable[Path], writable: Iterable[Path] = ()) -> tuple[str, ...]:
    """Take the network, other programs, signals to others, and all files but these away from this process.

    readable, writable: Files, and folders with all below them. Missing ones are passed over.

    Returns what the kernel enforces now, of "landlock" and "seccomp"; nothing on other systems. What was open stays
    open. Threads that run already keep their rights: call it while there is one only.
    """
    if sys.platform != "linux":
        return ()
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        return ()
    done = [
        name
        for name, fits in (("landlock", _landlock(library, readable, writable)), ("seccomp", _seccomp(library)))
        if fits
    ]
    return tuple(done)


def python_paths() -> list[Path]:
    """What a Python process reads while it works: its modules and libraries, and what the kernel says of the machine
    and of this process.
    """
    own = {Path(path) for path in (sys.prefix, sys.base_prefix, *sys.path) if path}
    package = Path(__file__).resolve().parents[1]
    system = ("/usr", "/lib", "/lib64", "/opt", "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/sys")
    facts = ("/dev/urandom", "/dev/null", "/proc/self", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/sys")
    return [*sorted(own), package, *map(Path, (*system, *facts))]


def limit_cpu(seconds: float) -> None:
    """Have the system end this process once it has used this much more processor time. Does nothing on Windows."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted = int(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def limit_memory_by(more_bytes: int) -> None:
    """Let this process take this much more address space, and write files no larger. Does nothing on Windows."""
    if sys.platform == "win32":
        return
    import resource

    pages = kernel_files.text_of(Path("/proc/self/statm"))
    limits = [(resource.RLIMIT_FSIZE, more_bytes), (resource.RLIMIT_CORE, 0)]
    if pages:  # elsewhere the system does not say how much is taken
        limits.append((resource.RLIMIT_AS, int(pages.split()[0]) * os.sysconf("SC_PAGE_SIZE") + more_bytes))
    for limit, most in limits:
        _, hard = resource.getrlimit(limit)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))


def _landlock(library: ctypes.CDLL, readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    call = library.syscall
    abi = call(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    rights = _FILE_RIGHTS | sum(right for since, right in _RIGHTS_SINCE.items() if abi >= since)
    fields = (rights, _BOTH if abi >= _NETWORK_ABI else 0, _BOTH if abi >= _SCOPE_ABI else 0)
    count = 3 if abi >= _SCOPE_ABI else 2 if abi >= _NETWORK_ABI else 1
    ruleset = struct.pack(f"{count}Q", *fields[:count])
    rules = call(_CREATE_RULESET, ruleset, ctypes.c_size_t(len(ruleset)), 0)
    if rules < 0:
        return False
    try:
        for paths, allowed in ((readable, _READ_FILE | _READ_DIR), (writable, rights & ~1)):  # never to execute
            for path in paths:
                _allow(library, rules, path, allowed)
        return call(_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(library: ctypes.CDLL, rules: int, path: Path, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)  # pyright: ignore[reportAttributeAccessIssue]  # Linux
    except OSError:
        return
    try:
        if not path.is_dir():
            allowed &= 1 << 1 | _READ_FILE | 1 << 14  # the kernel refuses rights of folders for a file
        library.syscall(_ADD_RULE, rules, _BENEATH, struct.pack("=Qi", allowed, place), 0)
    finally:
        os.close(place)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _seccomp(library: ctypes.CDLL) -> bool:
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    architecture, numbers = known
    numbers = (*numbers, *_COMMON)
    refuse = len(numbers) + 1  # from the first comparison: all of them, and the return that allows
    steps = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_AT_LEAST, refuse, 0, _X32),
        *((_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    return library.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0) == 0
