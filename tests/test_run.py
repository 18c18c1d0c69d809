"""run.py: what it refuses, and when it installs again. Nothing is installed here."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def run():
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(run, tmp_path, monkeypatch):
    """run.py in an empty project whose commands are noted down instead of executed."""
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    calls, results = [], {}

    def call(command, **_):
        words = [str(word) for word in command]
        step = next(step for step in ("venv", "pip", "pytest", "dreamactor_core") if step in words)
        calls.append(step)
        if step == "venv" and not results.get("venv"):
            python = Path(words[-1]) / (
                "Scripts/python.exe" if run.os.name == "nt" else "bin/python"
            )
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()
        if isinstance(results.get(step), BaseException):
            raise results[step]
        return results.get(step, 0)

    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run.subprocess, "call", call)
    return run, calls, results


def test_the_stamp_follows_constraints_requirements_and_python(run, tmp_path):
    constraints, requirements = tmp_path / "constraints.txt", tmp_path / "requirements.txt"
    constraints.write_text("numpy==2.0\n")
    requirements.write_text("numpy\n")
    stamps = [
        run.stamp(tmp_path, (3, 11)),
        run.stamp(tmp_path, (3, 11)),
        run.stamp(tmp_path, (3, 12)),
    ]
    constraints.write_text("numpy==2.1\n")
    stamps.append(run.stamp(tmp_path, (3, 11)))
    requirements.write_text("numpy\ntqdm\n")
    stamps.append(run.stamp(tmp_path, (3, 11)))
    assert stamps[0] == stamps[1] and len(set(stamps)) == 4


def test_an_old_python_is_refused_in_words(run):
    with pytest.raises(run.RefusalError, match=r"Python 3\.9, and 3\.10 or newer is needed"):
        run.check_python((3, 9), importlib.util.find_spec)
    run.check_python((3, 10), lambda name: name)


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_environments_is_refused_in_words(run, missing):
    with pytest.raises(run.RefusalError, match=f"no {missing} module.*apt install python3-venv"):
        run.check_python((3, 11), lambda name: None if name == missing else name)


@pytest.mark.parametrize("arguments", [["dmeo"], []])
def test_an_unknown_command_ends_with_2_and_names_the_commands(arguments):
    ended = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments], capture_output=True, text=True
    )
    assert ended.returncode == 2 and "python run.py demo" in ended.stderr
    assert not arguments or "no command 'dmeo'" in ended.stderr


def test_the_second_call_goes_straight_to_work(project):
    run, calls, _ = project
    assert run.main(["demo"]) == 0 and run.main(["run", "animate"]) == 0
    assert calls == ["venv", "pip", "dreamactor_core", "dreamactor_core"]


def test_tests_bring_their_tools_and_demo_keeps_them(project):
    run, calls, _ = project
    for command in ("demo", "test", "demo", "test"):
        assert run.main([command]) == 0
    assert calls == [
        *("venv", "pip", "dreamactor_core"),
        *("venv", "pip", "pytest"),
        *("dreamactor_core", "pytest"),
    ]


def test_changed_constraints_install_again(project):
    run, calls, _ = project
    run.main(["demo"])
    (run.ROOT / "constraints.txt").write_text("numpy==2.1\n")
    run.main(["demo"])
    assert calls.count("pip") == 2


@pytest.mark.parametrize("fault", [1, KeyboardInterrupt()])
def test_a_broken_installation_is_not_taken_as_done(project, fault, capsys):
    run, calls, results = project
    run.main(["demo"])
    (run.ROOT / "constraints.txt").write_text("numpy==2.1\n")
    results["pip"] = fault
    assert run.main(["demo"]) == (1 if fault == 1 else 130)
    assert ("Installing failed" in capsys.readouterr().err) == (fault == 1)
    results["pip"] = 0
    assert run.main(["demo"]) == 0
    assert calls == [*("venv", "pip", "dreamactor_core"), *("venv", "pip"), *calls[:3]]


def test_the_exit_status_of_the_work_is_kept(project):
    run, _, results = project
    results["pytest"] = 5
    assert run.main(["test"]) == 5


def test_memory_settings_on_linux_only_and_never_over_the_users(run):
    linux = run.child_environment({"MALLOC_TOP_PAD_": "7", "PYTHONPATH": "mine"}, "linux")
    assert linux["MALLOC_MMAP_THRESHOLD_"] == "4000000000" and linux["MALLOC_TOP_PAD_"] == "7"
    assert linux["PYTHONPATH"].split(run.os.pathsep) == [str(ROOT), "mine"]
    assert run.child_environment({}, "darwin") == {"PYTHONPATH": str(ROOT)}


def test_an_environment_of_another_python_is_recognised(run, tmp_path):
    assert not run.made_by(tmp_path, (3, 11))
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.7\n")
    assert run.made_by(tmp_path, (3, 11)) and not run.made_by(tmp_path, (3, 1))


def test_the_tools_are_the_declared_extras(run):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert extras["train"] == run.TRAIN_PACKAGES
    assert [*extras["train"], *extras["test"]] == run.TEST_PACKAGES


def test_the_tests_are_shared_out_between_two_workers_of_one_thread(project, monkeypatch):
    run, _, _ = project
    started = []

    def call(command, env=None, **_):
        started.append(([str(word) for word in command], env))
        return 0

    monkeypatch.setattr(run.subprocess, "call", call)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert run.start(Path("python"), "test", ["-x", "tests/core"]) == 0
    assert run.start(Path("python"), "demo", []) == 0
    (tests, environment), (_, of_demo) = started
    shared = ["-n", "2", "--dist", "loadscope"]
    assert tests == ["python", "-m", "pytest", *shared, "-x", "tests/core"]
    assert environment["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in of_demo


def test_the_users_threads_are_kept(project, monkeypatch):
    run, _, _ = project
    environments = []
    monkeypatch.setattr(run.subprocess, "call", lambda *_, env, **__: environments.append(env))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    run.start(Path("python"), "test", [])
    assert environments[0]["OMP_NUM_THREADS"] == "5"


@pytest.mark.parametrize("own", ["-n0", "-n=4", "--numprocesses=auto", "--pdb", "-pno:xdist"])
def test_who_says_how_many_workers_gets_them(run, own):
    assert run.workers([own]) == []
    assert run.workers(["-x", "--no-header", "-k", "slow", "tests"]) == run.WORKERS


def test_a_folder_that_is_no_comfyui_is_refused_in_words(tmp_path):
    script = ROOT / "tests" / "nodes" / "set_up_host.py"
    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"{tmp_path} is no ComfyUI: it has no comfyui_version.py.\n"
    assert list(tmp_path.iterdir()) == []
