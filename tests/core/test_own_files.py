"""Files that a user's own code is made of and reads: those that its source shows count, unseen imports are refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cli import _main
from sim.core import user_code
from sim.core.errors import InputError
from sim.core.local_imports import files_named
from sim.scenario.loading import load_scenario
from sim.scenario.user_code import user_code_hashes
from tests.core.test_user_code import clean_modules, write_module, write_scenario
from tests.sweep.conftest import no_pictures

__all__ = ["clean_modules", "no_pictures"]

_MORE = (
    "devices: {requests: 1}\nmodels: embedded\nworkload: {max_new_tokens: 2}\n"
    "compute: {edge: {kind: fixed, per_forward_s: 0.01}}\n"
)
_UNSEEN = "import importlib\nNAME = 'own_' + 'secret'\n"


def own(folder: Path, module: str, first: str = "", within: str = "pass") -> Path:
    """A module of a user's with a protocol, lines at its top, and one that runs with each request."""
    path = write_module(folder, module, "x")
    text = path.read_text().replace('Path(__file__).with_name("ran.txt").write_text("x")\n', "")
    path.write_text(f"{first}\n" + text.replace("    yield from", f"    {within}\n    yield from"))
    return path


def hashes(folder: Path, module: str) -> dict[str, str]:
    return user_code_hashes(load_scenario(write_scenario(folder, f"{module}:own")).dump())


@pytest.fixture()
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "study"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "import importlib; X = importlib.import_module('own_helper')",
        "from importlib import import_module; X = import_module(name='own_helper')",
        "X = __import__('own_helper')",
        "def late():\n    import importlib\n    importlib.import_module('own_helper')",
    ],
)
def test_calls_that_import_by_a_written_name_count_as_imports(here: Path, line: str):
    own(here, "own_j", line)
    (here / "own_helper.py").write_text("WORD = 1\n")
    before = hashes(here, "own_j")
    assert set(before) == {"own_j", "own_helper"}
    (here / "own_helper.py").write_text("WORD = 2\n")
    assert hashes(here, "own_j")["own_helper"] != before["own_helper"]
    assert __import__("own_helper").WORD == 2


def test_folders_without_init_and_packages_around_a_module_count(here: Path):
    (here / "own_space").mkdir()
    (here / "own_space" / "words.py").write_text("WORD = 1\n")
    own(here, "own_k", "from own_space import words")
    assert set(hashes(here, "own_k")) == {"own_k", "own_space.words"}
    package = here / "own_around"
    own(package, "inner", "from importlib import import_module\nX = import_module('.beside', __package__)")
    (package / "__init__.py").write_text("RUNS = 'before inner'\n")
    (package / "beside.py").write_text("")
    own(package, "alone")
    assert set(hashes(here, "own_around.inner")) == {"own_around", "own_around.inner", "own_around.beside"}
    assert set(hashes(here, "own_around.alone")) == {"own_around", "own_around.alone"}


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (f"{_UNSEEN}X = importlib.import_module(NAME)", "own_secret.py"),
        (f"{_UNSEEN}X = __import__('own_spaces.' + NAME)", "own_spaces/own_secret.py"),
        (
            f"{_UNSEEN}import sys\nsys.path.insert(0, __file__.rpartition('/')[0] + '/lib')\nimport own_secret",
            "lib/own_secret.py",
        ),
        (f"{_UNSEEN}import runpy\nX = runpy.run_module(NAME)", "own_secret.py"),
    ],
)
def test_an_import_that_the_source_does_not_show_is_refused(here: Path, text: str, file: str):
    path = own(here, "own_l", text)
    (here / file).parent.mkdir(exist_ok=True)
    (here / file).write_text("WORD = 1\n")
    line = len(text.splitlines())
    says = rf"{path}:{line}: '.*own_secret' is imported from {file} in a way that the source does not show"
    for _ in range(2):
        with pytest.raises(InputError, match=says) as caught:
            hashes(here, "own_l")
        assert "write an import statement" in str(caught.value) and "InputError" not in str(caught.value)
    # Either way out.
    path.write_text(f"DATA_FILES = {file!r}\n{path.read_text()}")
    assert f"own_l/{file}" in hashes(here, "own_l")


def test_what_others_import_from_the_folder_is_their_affair(here: Path):
    own(here, "own_m", "import json, colorsys")
    hashes(here, "own_m")
    (here / "own_secret.py").write_text("WORD = 1\n")
    assert __import__("own_secret").WORD == 1


def test_a_file_beside_the_code_is_not_hashed_in_place_of_another(here: Path):
    own(here, "own_n", "import own_helper")
    (here / "own_helper.py").write_text("WORD = 'beside'\n")
    hashes(here, "own_n")
    for name in ("own_n", "own_helper"):
        sys.modules.pop(name)
    elsewhere = here.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(here / "own_helper.py", elsewhere)
    sys.path.insert(0, str(elsewhere))
    hashes(here, "own_n")  # A copy is as good.
    for name in ("own_n", "own_helper"):
        sys.modules.pop(name)
    (elsewhere / "own_helper.py").write_text("WORD = 'another'\n")
    with pytest.raises(InputError, match=r"'own_helper' is imported from .*elsewhere.*, not from .*study.*; rename"):
        hashes(here, "own_n")
    __import__("own_helper")
    says = r"'own_helper' is in use from .*elsewhere.*, so .*study.* cannot be; rename"
    with user_code.user_code_forgotten(), pytest.raises(InputError, match=says):
        hashes(here, "own_n")


def test_modules_installed_in_a_folder_within_are_no_own_code(here: Path):
    (here / "lib").mkdir()
    (here / "lib" / "own_secret.py").write_text("WORD = 1\n")
    own(here, "own_o", f"{_UNSEEN}X = importlib.import_module(NAME)")
    scenario = write_scenario(here, "own_o:own", _MORE)
    command = [sys.executable, "-m", "sim.cli", "run", str(scenario), "--json"]
    environment = {**os.environ, "PYTHONPATH": f"{Path(user_code.__file__).parents[2]}:{here / 'lib'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", ["run", "sweep --jobs 1", "sweep --jobs 2", "sweep --jobs 1 --scheduler local"])
def test_an_unseen_import_under_way_is_refused_wherever_it_runs(here: Path, capsys, how: str):
    path = own(here, "own_p", _UNSEEN, within="importlib.import_module(NAME)")
    (here / "own_secret.py").write_text("WORD = 1\n")
    scenario = write_scenario(here, "own_p:own", _MORE)
    command, *more = how.split()
    code = _main([command, str(scenario), *more, *(["--vary", "seed=1,2"] if more else [])])
    said = capsys.readouterr().err
    assert code == (1 if more else 2) and "Traceback (" not in said
    assert f"{path.name}:" in said and "own_secret' is imported from own_secret.py in a way that the source" in said


def test_constants_name_files_that_count(here: Path):
    (here / "data").mkdir()
    names = ["a.txt", "data/b.txt", "data/c.txt", "d.txt", "e.txt", "unread.txt"]
    for name in names:
        (here / name).write_text("1")
    path = own(
        here,
        "own_q",
        "import os\n"
        "A = open(__file__.replace('own_q.py', 'a.txt')).read()\n"
        "def b(here): return here / 'data' / 'b.txt'\n"
        "def c(here): return os.path.join(here, 'data', 'c.txt')\n"
        "def d(here): return f'{here}/d.txt'\n"
        "NAME = 'e.txt'\n",
    )
    before = hashes(here, "own_q")
    assert set(before) == {"own_q", *(f"own_q/{name}" for name in names[:-1])}
    loaded = sys.modules["own_q"]
    (here / "a.txt").write_text("2")
    after = hashes(here, "own_q")
    assert {name for name in before if before[name] != after[name]} == {"own_q/a.txt"}
    assert sys.modules["own_q"] is not loaded and sys.modules["own_q"].A == "2"
    assert files_named(path)["data/b.txt"] == here / "data" / "b.txt"


def test_files_that_are_only_written_do_not_count(tmp_path: Path):
    for name in ("log.txt", "out.txt", "saved.npy", "both.txt", "in.npy", "appended.txt"):
        (tmp_path / name).write_text("1")
    path = tmp_path / "writes.py"
    path.write_text(
        "LOG, BOTH = 0, 0\nLOG = Path(__file__).with_name('log.txt')\nBOTH = Path('both.txt')\n"
        "with LOG.open('a') as file: file.write('x')\nopen('appended.txt', mode='a')\n"
        "(HERE / 'out.txt').write_text('x')\nnp.save('saved.npy', np.load('in.npy'))\n"
        "BOTH.write_text(BOTH.read_text())\n"
    )
    assert set(files_named(path)) == {"both.txt", "in.npy"}


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("where", [["--jobs", "1"], ["--jobs", "2"], ["--scheduler", "local", "--jobs", "1"]])
def test_a_sweep_is_resumed_unless_a_file_of_own_code_has_changed(here: Path, capfd, where: list[str]):
    own(
        here,
        "own_s",
        "import importlib\nfrom pathlib import Path as P\nLOG = P(__file__).with_name('log.txt')\n",
        within="importlib.import_module('own_helper').level(); LOG.open('a').write('ran ')",
    )
    (here / "own_helper.py").write_text(
        "from pathlib import Path\ndef level(): return Path(__file__).with_name('levels.txt').read_text()\n"
    )
    (here / "levels.txt").write_text("1")
    scenario = write_scenario(here, "own_s:own", _MORE)
    command = ["sweep", str(scenario), "--vary", "seed=1,2", "--json", "--resume", *where]

    def ids() -> list[str]:
        assert _main(command) == 0
        captured = capfd.readouterr()
        folder = Path(json.loads(captured.out)["folder"])
        rows = (folder / "sweep.csv").read_text().splitlines()
        column = rows[0].split(",").index("run_id")
        return [row.split(",")[column] for row in rows[1:]]

    first = ids()
    assert ids() == first
    (here / "levels.txt").write_text("2")
    second = ids()
    assert set(second).isdisjoint(first)
    (here / "levels.txt").write_text("1")
    assert ids() == first


def test_a_copy_with_own_code_has_the_same_hashes(here: Path, monkeypatch):
    own(here, "own_t", "import own_helper\nX = __import__('pathlib').Path(__file__).with_name('a.txt').read_text()")
    (here / "own_helper.py").write_text("")
    (here / "a.txt").write_text("1")
    other = here.parent / "other"
    shutil.copytree(here, other)
    before = hashes(here, "own_t")
    sys.modules.pop("own_t")
    with user_code.user_code_forgotten():
        monkeypatch.chdir(other)
        assert hashes(other, "own_t") == before and Path(sys.modules["own_t"].__file__ or "").parent == other


def test_a_link_to_own_code_is_own_code_where_the_link_lies(here: Path, capsys):
    shared = here.parent / "shared"
    path = own(shared, "implementation", "import own_helper\nX = __import__('pathlib').Path(__file__)")
    path.write_text(f"{path.read_text()}X.with_name('a.txt').read_text()\n")
    (shared / "own_helper.py").write_text("WORD = 1\n")
    (here / "a.txt").write_text("1")
    for name, place in (("own_u.py", "implementation.py"), ("own_helper.py", "own_helper.py")):
        (here / name).symlink_to(shared / place)
    before = hashes(here, "own_u")
    assert set(before) == {"own_u", "own_helper", "own_u/a.txt"}
    write_scenario(here, "own_u:own", _MORE)
    assert _main(["sweep", "case.yaml", "--vary", "seed=1,2", "--jobs", "2"]) == 0
    (shared / "own_helper.py").write_text("WORD = 2\n")
    (here / "a.txt").write_text("2")
    after = hashes(here, "own_u")
    assert {name for name in before if before[name] != after[name]} == {"own_helper", "own_u/a.txt"}


def test_a_package_that_is_a_link_counts_and_is_watched(here: Path):
    shared = here.parent / "implementation"
    own(shared, "inner", "from .beside import WORD")
    (shared / "__init__.py").write_text("")
    (shared / "beside.py").write_text("WORD = 1\n")
    (shared / "own_secret.py").write_text("")
    (here / "own_linked").symlink_to(shared, target_is_directory=True)
    names = {"own_linked", "own_linked.inner", "own_linked.beside"}
    before = hashes(here, "own_linked.inner")
    assert set(before) == names and sys.modules["own_linked.beside"].WORD == 1
    (shared / "beside.py").write_text("WORD = 2\n")
    assert hashes(here, "own_linked.inner") != before and sys.modules["own_linked.beside"].WORD == 2
    (shared / "beside.py").write_text(
        "import importlib\nWORD = importlib.import_module('.own_' + 'secret', __package__)\n"
    )
    with pytest.raises(InputError, match=r"'own_linked.own_secret' is imported from own_secret.py in a way"):
        hashes(here, "own_linked.inner")
