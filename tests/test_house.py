"""The house: which room of levlib may use which, and how large its modules and functions get."""

import ast
from pathlib import Path

LEVLIB = Path(__file__).resolve().parents[1] / "levlib"

# A room uses only itself and the rooms before it; the API page and the README print this order.
ROOMS = [
    "linalg",
    "checks",
    "files",
    "exercise",
    "data",
    "intervals",
    "kernels",
    "draw",
    "features",
    "leverage",
    "sampling",
    "regression",
    "nets",
    "estimators",
]
# The explorers could be lifted out as a package any day, so they stand beside the row.
ALLOWED = {room: ROOMS[: place + 1] for place, room in enumerate(ROOMS)}
ALLOWED |= {"explorers": ["explorers", "files"]}


def rooms(package: Path) -> dict[Path, str]:
    """Return each module of the package with its room; `levlib/__init__` is the door of all."""
    inside = {path: path.relative_to(package).parts[0] for path in sorted(package.rglob("*.py"))}
    return {
        path: part.removesuffix(".py") for path, part in inside.items() if part != "__init__.py"
    }


def imported(path: Path) -> list[str]:
    """Return the full name of everything that a module imports, with a dot before relative ones."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            names += [f"{start}.{alias.name}" for alias in node.names]
    return names


def wrong_imports(package: Path) -> list[tuple[str, str]]:
    """Return (module, import) for each import that a module's room does not allow."""
    return [
        (path.relative_to(package).as_posix(), name)
        for path, room in rooms(package).items()
        for name in imported(path)
        if (name.split(".")[0] == "levlib" and f"{name}.".split(".")[1] not in ALLOWED[room])
        or name.startswith(".")
    ]


def test_each_room_has_its_place_in_the_row():
    assert sorted(set(rooms(LEVLIB).values())) == sorted(ALLOWED)


def test_a_room_uses_only_rooms_before_it():
    assert wrong_imports(LEVLIB) == []


def test_a_wrong_import_is_seen(tmp_path):
    for room in ("kernels", "nets", "explorers"):
        (tmp_path / room).mkdir()
    written = {
        "draw.py": "from levlib.kernels.base import Kernel\nimport math\n",
        "kernels/base.py": "def late():\n    from levlib.draw import Draw\n",
        "nets/train.py": "import levlib.explorers.controls\nfrom levlib import data, estimators\n",
        "nets/run.py": "import levlib as lv\nfrom . import train\n",
        "explorers/explorer.py": "from levlib.files import write\nimport levlib.checks\n",
    }
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    assert sorted(wrong_imports(tmp_path)) == [
        ("explorers/explorer.py", "levlib.checks"),
        ("kernels/base.py", "levlib.draw.Draw"),
        ("nets/run.py", "..train"),
        ("nets/run.py", "levlib"),
        ("nets/train.py", "levlib.estimators"),
        ("nets/train.py", "levlib.explorers.controls"),
    ]


def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def body_lines(function: ast.FunctionDef) -> int:
    """Return how many lines a function's body takes, its docstring aside."""
    body = function.body[ast.get_docstring(function) is not None :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def packed(path: Path) -> list[str]:
    """Return the assignments `a, b, c = f(), g(), h()` of three or more different functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            calls = [value for value in node.value.elts if isinstance(value, ast.Call)]
            if len({ast.unparse(call.func) for call in calls}) > 2:
                found.append(f"{path.name}:{node.lineno}")
    return found


def modules() -> list[Path]:
    return sorted(LEVLIB.rglob("*.py"))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_a_module_has_at_most_250_lines():
    assert [path.name for path in modules() if len(lines(path)) > 250] == []


def test_a_line_has_at_most_100_columns():
    files = [path for end in ("py", "js", "css") for path in sorted(LEVLIB.rglob(f"*.{end}"))]
    assert [path.name for path in files for line in lines(path) if len(line) > 100] == []


def test_the_body_of_a_function_has_at_most_30_lines():
    long = [
        (path.name, f.name) for path in modules() for f in functions(path) if body_lines(f) > 30
    ]
    assert long == []


def test_a_line_does_not_pack_three_thoughts():
    assert [place for path in modules() for place in packed(path)] == []


def test_what_is_too_large_or_packed_is_seen(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(
        'def f(x):\n    """Double."""\n    x = 2 * x\n\n    return x\n\n\n'
        "a, b, c = f(1), abs(2), len([])\na, b, c = f(1), f(2), f(3)\n"
    )
    assert [body_lines(function) for function in functions(module)] == [3]
    assert packed(module) == ["module.py:8"]
