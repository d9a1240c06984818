"""Jobs of every kind, disturbed at random. Run by scripts/soak; a short form is tests/test_soak.py.

A job is a command of upres whose results are known: they were made once, undisturbed. A round runs it with one fault
(SIGKILL, SIGTERM or SIGINT at a random moment; from the N-th write on no space; from the N-th read on a disk error; too
little memory), checks that what lies in its place is whole and right, and runs it again, undisturbed, to the end. Told
as faults: an exit code that docs/exit-codes.md does not give to what happened, a traceback, an input that changed, a
result that differs, anything left over; each with all that the job printed, in a file of --out. Beside them one process
upscales all the time, good pictures and damaged ones; its memory is looked at after each round.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import platform
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from upres.images.io import Picture, encode_picture

ROOT = Path(__file__).resolve().parent.parent
STOPPED = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130, -2}}
# A fault of a disk or of memory may hit what a job reads (3), the model (4), what it writes (5) or the start of Python.
_OF_DISK, _OF_MEMORY = {0, 3, 4, 5}, {0, 1, 3, 4, 5, -6, -9, -11, 134, 139}
MOST_GROWTH_MB = 60.0
MOST_S = 1800.0  # of a job, on a machine that has other work

LIBRARY = """
import sys, upres
from upres.system.child import die_with
die_with(int(sys.argv[4]))
upscaler = upres.Upscaler(sys.argv[1], threads=1)
good, bad = sys.argv[2], sys.argv[3]
while True:
    upscaler(upres.read_picture(good))
    try:
        upres.read_picture(bad)
        print("the damaged picture was read", flush=True)
    except upres.InputError:
        pass
"""


@dataclass(frozen=True, slots=True)
class Job:
    """arguments: What upres is given, in the job's folder. results: What it makes there, file or folder. again: What is
    added where the job runs again, as its user would, if its folder (or result) is there. folder: The folder that the
    job makes, if `results` is only the part of it that is always the same.
    """

    name: str
    arguments: tuple[str, ...]
    results: str
    again: tuple[str, ...] = ()
    folder: str = ""

    @property
    def place(self) -> str:
        return self.folder or self.results


_SMALL_CROPS = ("--smallest", "16", "--crop", "32", "--step", "32", "--flat", "0", "--validation", "1")
_SETTINGS = (
    *("batch=2", "patch_px=8", "width=8", "depth=2", "convolutions=torch", "degradation=bicubic", "threads=1"),
    *("workers=0", "checkpoint_every=2", "validate_every=8"),
)
_SHORT_RUN = ("--device", "cpu", "--steps", "8", *(word for one in _SETTINGS for word in ("--set", one)))
_TRAINED = "run/model.safetensors"
JOBS = (
    Job(
        "folder",
        ("upscale", "in", "-r", "-n", "net.safetensors", "-o", "out", "--threads", "1"),
        "out",
        ("--retry-failed",),
    ),
    Job("jpeg", ("upscale", "in/a.png", "-n", "net.safetensors", "-o", "one.jpg"), "one.jpg"),
    Job("degrade", ("degrade", "in", "-r", "-o", "low", "-s", "2", "--seed", "3"), "low"),
    Job("book", ("upscale", "book.cbz", "-n", "net.safetensors", "-o", "large.cbz", "--threads", "1"), "large.cbz"),
    Job("prepare", ("prepare", "in", "-o", "shards", *_SMALL_CROPS), "shards", ("--overwrite",)),
    Job("train", ("train", "compact-x2", "--data", "in", "--out", "run", *_SHORT_RUN), _TRAINED, ("--resume",), "run"),
    Job(
        "export",
        ("export", "net.safetensors", "-f", "safetensors", "-o", "blend.safetensors"),
        "blend.safetensors",
        ("--overwrite",),
    ),
)


@dataclass(slots=True)
class Soak:
    """The folder of all jobs, the undisturbed results, and what was found."""

    folder: Path
    out: Path
    faults_library: Path | None
    draw: random.Random
    expected: dict[str, dict[str, str]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    job: subprocess.Popen[str] | None = None  # the one that runs
    detail: str = ""  # of the fault at hand: when, after how many calls, how much

    def run(
        self, job: Job, environment: Mapping[str, str] | None = None, *more: str, **keywords: object
    ) -> subprocess.Popen[str]:
        self.job = subprocess.Popen(
            [sys.executable, "-m", "upres", *job.arguments, *more],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **keywords,  # type: ignore[call-overload]
        )
        return self.job

    def end_job(self) -> None:
        """End the job at hand, which would go on in a folder that is being removed."""
        if self.job is not None and self.job.poll() is None:
            self.job.kill()
            self.job.communicate()

    def undisturbed(self, job: Job) -> None:
        begin = time.monotonic()
        process = self.run(job)
        _, err = process.communicate(timeout=MOST_S)
        if process.returncode:
            raise SystemExit(f"{job.name} fails undisturbed, exit code {process.returncode}: {err}")
        self.seconds[job.name] = time.monotonic() - begin
        self.expected[job.name] = hashes(self.folder / job.results)
        self.clear(job)

    def clear(self, job: Job) -> None:
        for path in self.folder.glob(f"*{job.place}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def round(self, job: Job) -> None:
        fault, allowed, process = self.disturbed(job)
        out, err = process.communicate(timeout=MOST_S)
        title = f"{job.name}, {fault}"
        self.counts[title] += 1
        known, said = len(self.found), f"exit code {process.returncode}\n{out}\n{err}"
        if process.returncode not in allowed | {0}:
            self.found.append(f"{title}: exit code {process.returncode}: {err[-400:]}")
        if "Traceback" in err and fault != "too little memory":
            self.found.append(f"{title}: traceback: {err[-800:]}")
        self.compare(job, title, whole=False)
        if process.returncode:
            process = self.run(job, None, *(job.again if (self.folder / job.place).exists() else ()))
            out, err = process.communicate(timeout=MOST_S)
            said += f"\nagain: {process.args}\nexit code {process.returncode}\n{out}\n{err}"
            if process.returncode:
                self.found.append(f"{title}, again: exit code {process.returncode}: {out[-200:]}{err[-400:]}")
        self.compare(job, title, whole=True)
        if hashes(self.folder / "in") != self.inputs:
            self.found.append(f"{title}: an input changed")
        if self.found[known:]:
            self.keep(sum(self.counts.values()), fault, "\n".join(self.found[known:]), said)
        self.clear(job)

    def keep(self, number: int, fault: str, words: str, said: str) -> None:
        """Keep all that is known of a round with faults: nothing else can tell what happened."""
        self.out.mkdir(parents=True, exist_ok=True)
        text = f"{words}\n\n{fault} {self.detail}\n{said}\n"
        (self.out / f"round_{number}.txt").write_text(text, encoding="utf-8")

    def disturbed(self, job: Job) -> tuple[str, set[int], subprocess.Popen[str]]:
        kinds = ["SIGKILL", "SIGTERM", "SIGINT", "too little memory"]
        kinds += ["no space", "read error"] if self.faults_library else []
        fault = self.draw.choice(kinds)
        if fault.startswith("SIG"):
            number = signal.Signals[fault]
            process = self.run(job)
            seconds = self.draw.uniform(0.0, 1.1 * self.seconds[job.name])
            self.detail = f"after {seconds:.3f} s"
            end = time.monotonic() + seconds
            while time.monotonic() < end and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(number)
            return fault, STOPPED[number], process
        if fault == "too little memory":
            most = self.draw.randrange(300_000_000, 1_500_000_000)
            self.detail = f"{most} bytes"

            def limit() -> None:
                resource.setrlimit(resource.RLIMIT_AS, (most, most))

            return fault, _OF_MEMORY, self.run(job, preexec_fn=limit)
        count = str(self.draw.randrange(1, 40))
        self.detail = f"from call {count} on"
        name = "UPRES_FAULT_WRITE" if fault == "no space" else "UPRES_FAULT_READ"
        environment = {
            "LD_PRELOAD": str(self.faults_library),
            "UPRES_FAULT_UNDER": str(self.folder),
            name: count,
        }
        return fault, _OF_DISK, self.run(job, environment)

    def compare(self, job: Job, title: str, *, whole: bool) -> None:
        """What lies there must be right; with `whole` all of it must lie there, and nothing else."""
        expected, found = self.expected[job.name], hashes(self.folder / job.results)
        for name, digest in found.items():
            if name in expected and digest != expected[name]:
                self.found.append(f"{title}: {name} is not what an undisturbed run makes")
            elif name not in expected and whole:
                self.found.append(f"{title}: {name} is left over")
        if whole:
            self.found += [f"{title}: {name} is missing" for name in expected if name not in found]


def hashes(path: Path) -> dict[str, str]:
    """SHA-256 by name of a file or of all files below a folder, without the job's own record."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {
        file.relative_to(path.parent).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if not file.name.startswith(".upres")
    }


def make_inputs(folder: Path) -> None:
    """Twelve small pictures in three formats, a damaged one beside them, and a network."""
    rng = np.random.default_rng(5)
    (folder / "in" / "deep").mkdir(parents=True)
    for index, name in enumerate("abcdefghijkl"):
        height, width = (int(size) * 2 for size in rng.integers(20, 60, 2))
        picture = Picture(rng.random((height, width, 3)).astype(np.float32))
        form = ("png", "webp", "tiff")[index % 3]
        place = folder / "in" / ("deep" if index % 2 else "") / f"{name}.{form}"
        place.write_bytes(encode_picture(picture, form))
    (folder / "damaged.png").write_bytes((folder / "in" / "a.png").read_bytes()[:-400])
    with zipfile.ZipFile(folder / "book.cbz", "w") as book:
        for path in sorted((folder / "in").rglob("*.*g")):
            book.write(path, path.name)
    shutil.copyfile(ROOT / "upres" / "models" / "bundled" / "compact-x2.safetensors", folder / "net.safetensors")


def compiled(folder: Path) -> Path | None:
    """The library of scripts/faults.c; None where it cannot be made (no Linux, no compiler)."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        return None
    target = folder / "faults.so"
    source = ROOT / "scripts" / "faults.c"
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", str(target), str(source), "-ldl"]
    return target if subprocess.run(command, check=False).returncode == 0 else None


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(minutes: float, seed: int, out: Path, say: Callable[[str], None]) -> tuple[Soak, list[float]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "work"
        folder.mkdir()
        make_inputs(folder)
        state = Soak(folder, out, compiled(Path(name)), random.Random(seed))
        state.inputs = hashes(folder / "in")
        try:
            for job in JOBS:
                state.undisturbed(job)
        except BaseException:
            state.end_job()
            raise
        say(f"undisturbed: {', '.join(f'{job} {seconds:.1f} s' for job, seconds in state.seconds.items())}")
        arguments = [str(folder / path) for path in ("net.safetensors", "in/a.png", "damaged.png")]
        arguments.append(str(os.getpid()))
        beside = subprocess.Popen(
            [sys.executable, "-c", LIBRARY, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        memory: list[float] = []
        end = time.monotonic() + 60.0 * minutes
        try:
            while time.monotonic() < end or not memory:
                for job in JOBS:
                    known = len(state.found)
                    state.round(job)
                    for text in state.found[known:]:
                        say(text)
                    if time.monotonic() > end:
                        break
                if beside.poll() is not None:
                    state.found.append(f"the process beside ended with exit code {beside.returncode}")
                    break
                memory.append(resident_mb(beside.pid))
                say(f"{sum(state.counts.values())} rounds, {len(state.found)} faults, beside {memory[-1]:.0f} MB")
        finally:
            state.end_job()
            beside.kill()
            said = beside.communicate()[0]
        if said:
            state.found.append(f"the process beside: {said[:200]}")
    third = max(1, len(memory) // 3)
    growth = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third] or memory)
    if growth > MOST_GROWTH_MB:
        state.found.append(f"the process beside grew by {growth:.0f} MB")
    return state, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("soak-faults"), help="folder for all that faulty rounds said")
    parser.add_argument("--write", action="store_true", help="keep the report as benchmarks/results/soak_yyyymm.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends the process beside too
    state, memory = soak(options.minutes, options.seed, options.out, lambda text: print(text, flush=True))
    lines = [
        f"# Jobs disturbed at random, {datetime.date.today()}",
        "",
        f"`scripts/soak --minutes {options.minutes:g} --seed {options.seed}`, {platform.machine()}, "
        f"{os.cpu_count()} cores: {sum(state.counts.values())} rounds, **{len(state.found)} faults**. The process "
        f"beside them: {memory[0]:.0f} MB after the first round of all jobs, {memory[-1]:.0f} MB at the end, "
        f"{max(memory):.0f} MB at most.",
        "",
        "| job, disturbed by | rounds |",
        "| --- | --- |",
        *(f"| {title} | {count} |" for title, count in sorted(state.counts.items())),
        "",
        *(f"- {text}" for text in state.found),
    ]
    print("\n".join(lines))
    if options.write:
        target = ROOT / "benchmarks" / "results" / f"soak_{datetime.date.today():%Y%m}.md"
        target.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    sys.exit(bool(state.found))


if __name__ == "__main__":
    main()
