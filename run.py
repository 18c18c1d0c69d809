"""Run the project in an environment of its own, made beside this file on the first call.

    python run.py demo [options]     animate the built-in characters with the built-in model
    python run.py run <command> ...  any command of the project: python run.py run --help
    python run.py test [options]     the tests in two processes; options go to pytest (-n 0: one)

Needs Python 3.10 or newer and nothing else. Packages come from wherever pip is set up to look.
"""

from __future__ import annotations  # lets an old Python read this file as far as the refusal

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
OLDEST = (3, 10)
TRAIN_PACKAGES = ["accelerate"]  # the extras of pyproject.toml
TEST_PACKAGES = [
    *TRAIN_PACKAGES,
    "ftfy",
    "gguf",
    "mypy",
    "pytest",
    "pytest-xdist",  # two workers halve the wait, and most tests use one core
    "ruff",
    "trackers",  # what pose/track.py is compared with
]
# Two workers with one thread each: on tiny tensors more threads cost more than they bring. Tests
# of one module stay together, so what a module's tests share is built once.
WORKERS = ["-n", "2", "--dist", "loadscope"]
# glibc hands large blocks back to the system after each use, and PyTorch asks for them again at
# once; keeping them makes the model about three times faster on a CPU. Read before Python starts.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "500000000",
}


class RefusalError(Exception):
    """What went wrong and what to do, in words for the user."""


def main(arguments: list[str]) -> int:
    """Prepare the environment and run the command in it. Returns the exit status."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    command, *rest = arguments
    if command in ("-h", "--help"):
        print(__doc__)
        return 0
    if command not in ("demo", "run", "test"):
        print(f"run.py has no command {command!r}.\n\n{__doc__}", file=sys.stderr)
        return 2
    try:
        check_python(sys.version_info[:2], importlib.util.find_spec)
        needed = TEST_PACKAGES if command == "test" else []
        if command == "run" and rest[:1] == ["train"]:
            needed = TRAIN_PACKAGES
        python = prepare(VENV, needed)
        return start(python, command, rest)
    except RefusalError as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def check_python(version: tuple, find_module) -> None:
    """Raise RefusalError when this Python is too old or cannot make environments."""
    if version < OLDEST:
        raise RefusalError(
            "This is Python {}.{}, and {}.{} or newer is needed. Install a newer one and start "
            "run.py with it.".format(*version, *OLDEST)
        )
    for module in ("venv", "ensurepip"):
        if find_module(module) is None:
            raise RefusalError(
                f"This Python has no {module} module, which makes environments. On Debian and "
                "Ubuntu: sudo apt install python3-venv. Then run the same again."
            )


def prepare(venv: Path, extra: list[str]) -> Path:
    """Make the environment and install into it, unless that was done before. Returns its Python."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark, wanted = venv / "installed.txt", stamp(ROOT, sys.version_info[:2])
    done = mark.read_text().split() if mark.is_file() and python.exists() else []
    if done[:1] == [wanted] and set(extra) <= set(done[1:]):
        return python

    mark.unlink(missing_ok=True)  # an interrupted installation must not look finished
    print(f"Making {venv} and installing packages; this takes some minutes once.", flush=True)
    other_python = venv.exists() and not made_by(venv, sys.version_info[:2])
    make = [sys.executable, "-m", "venv", *(["--clear"] if other_python else []), str(venv)]
    if subprocess.call(make) != 0:
        raise RefusalError(
            f"The environment could not be made; the reason stands above. Delete {venv} if it is "
            "there, see that the folder can be written to, and run the same again."
        )
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    files = ["-r", str(ROOT / "requirements.txt"), "-c", str(ROOT / "constraints.txt")]
    if subprocess.call([*install, *files, "torch", *extra]) != 0:
        raise RefusalError(
            "Installing failed; the reason stands above. Check the network, the disk space and "
            "pip's settings, then run the same again: what is already there is kept."
        )
    mark.write_text("\n".join([wanted, *extra]))
    return python


def stamp(root: Path, version: tuple) -> str:
    """A word that changes with the Python version and with each file that says what to install."""
    text = repr(tuple(version)).encode()
    for name in ("constraints.txt", "requirements.txt"):
        text += b"\0" + (root / name).read_bytes()
    return hashlib.sha256(text).hexdigest()


def made_by(venv: Path, version: tuple) -> bool:
    """Whether an environment belongs to this version of Python. Half-made ones do not."""
    try:
        lines = (venv / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return False
    written = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return written.get("version", "").split(".")[:2] == [str(number) for number in version]


def start(python: Path, command: str, rest: list[str]) -> int:
    """Run the tests here, or a command of the project in the user's folder."""
    environment = child_environment(dict(os.environ), sys.platform)
    if command == "test":
        words = [str(python), "-m", "pytest", *workers(rest), *rest]
        return subprocess.call(words, cwd=ROOT, env={"OMP_NUM_THREADS": "1", **environment})
    if command == "demo":
        rest = ["demo", *rest]
    return subprocess.call([str(python), "-m", "dreamactor_core", *rest], env=environment)


def workers(options: list[str]) -> list[str]:
    """Options of pytest that share the tests out, unless the user's say how or want a prompt."""
    own = ("-n", "--numprocesses", "--dist", "--pdb", "--trace")
    chosen = any(word.startswith(own) or word.endswith("no:xdist") for word in options)
    return [] if chosen else WORKERS


def child_environment(environment: dict, platform: str) -> dict:
    """The user's environment, with our folder to import from and the memory settings on Linux."""
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    memory = MALLOC if platform == "linux" else {}
    return {**memory, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
