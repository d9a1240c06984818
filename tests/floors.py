"""How the rules of the house are read off its source with `ast`: nothing is imported, and imports inside functions
count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

# module of ours (without "upres.") -> full dotted names that it imports or names in a string
Imports = Mapping[str, set[str]]
_NAME = re.compile(r"\bupres(?:\.\w+)+")
_FROM = re.compile(r"\bfrom (upres(?:\.\w+)*) import (\w+(?:, *\w+)*)")  # in the text of a program


def read_imports(package: Path) -> dict[str, set[str]]:
    """All modules of `package`: {"engines.ncnn.net": {"numpy", "upres.errors.EngineError"}}. An `__init__` goes by its
    package's name.
    """
    trees: dict[str, ast.Module] = {}
    packages: set[str] = set()
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
            packages.add(".".join(parts))
        trees[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"))
    packages.add("__init__")
    return {
        module: _imported(tree, module, module in packages) | _named_in_strings(tree, trees.keys())
        for module, tree in trees.items()
    }


def _imported(tree: ast.Module, module: str, is_package: bool) -> set[str]:
    """Every dotted name that the module imports, anywhere in it; `from a import b` gives a.b."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = ["upres"] if module == "__init__" else ["upres", *module.split(".")]
                parent = here[: len(here) - node.level + is_package]
                base = ".".join([*parent, base] if base else parent)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            names.update(str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))
    return names


def _named_in_strings(tree: ast.Module, modules: Set[str]) -> set[str]:
    """Modules of ours that stand in a string: `python -m` of a child, its program, the home of a public name."""
    found: set[str] = set()
    for text in _strings(tree):
        found.update(_NAME.findall(text))
        found.update(f"{base}.{name}" for base, names in _FROM.findall(text) for name in re.split(r", *", names))
    return {name for name in found if any(f"{name}.".startswith(f"upres.{module}.") for module in modules)}


def _strings(tree: ast.Module) -> Iterator[str]:
    """Every string that is no docstring: those only tell people where to look."""
    words = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words:
            yield node.value


def ours(imports: Imports) -> dict[str, set[str]]:
    """The same graph with our own modules only, each name cut down to the module that it lies in."""
    graph: dict[str, set[str]] = {}
    for module, names in imports.items():
        targets: set[str] = set()
        for name in names:
            if name != "upres" and not name.startswith("upres."):
                continue
            rest = name.removeprefix("upres").removeprefix(".")
            while rest and rest not in imports:
                rest = rest.rpartition(".")[0]
            targets.add(rest or "__init__")
        graph[module] = targets - {module}
    return graph


def room_of(module: str) -> str:
    return module.split(".")[0]


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """All modules that `start` imports, directly or through others."""
    seen: set[str] = set()
    queue = list(graph[start])
    while queue:
        module = queue.pop()
        if module not in seen:
            seen.add(module)
            queue.extend(graph.get(module, ()))
    return seen


def cycles(imports: Imports) -> list[str]:
    """One line for every module that reaches itself."""
    graph = ours(imports)
    return [f"{start} is part of an import cycle" for start in graph if start in reachable(graph, start)]


def upward_imports(imports: Imports, rooms: Mapping[str, str]) -> list[str]:
    """`rooms`: which others each room may import, parted by spaces; `errors` is open to all. A room that is not named
    is a fault.
    """
    faults: list[str] = []
    for module, targets in ours(imports).items():
        room = room_of(module)
        if room not in rooms:
            faults.append(f"{module} lies in no room of the house")
            continue
        allowed = {room, "errors", *rooms[room].split()}
        faults += [
            f"{module} imports {target}, which {room} may not"
            for target in sorted(targets)
            if room_of(target) not in allowed
        ]
    return faults


def misplaced_libraries(imports: Imports, homes: Mapping[str, str]) -> list[str]:
    """`homes`: for each heavy library the modules and packages that may import it."""

    def at_home(module: str, library: str) -> bool:
        return any(module == home or module.startswith(f"{home}.") for home in homes[library].split())

    return [
        f"{module} imports {library}, which belongs in {' or '.join(homes[library].split())}"
        for module, names in imports.items()
        for library in sorted({name.split(".")[0] for name in names} & homes.keys())
        if not at_home(module, library)
    ]


def unmirrored(tests: Path, package: Path, at_root: Set[str]) -> list[str]:
    """Test files that mirror nothing: `images/test_read.py` tests `images/read.py`, and so does
    `images/test_read_ASPECT.py`.

    Tests of code in a package's `__init__` bear the package's name. `at_root` are the files that test the house itself.
    """
    faults: list[str] = []
    for path in sorted({*tests.rglob("test_*.py"), *tests.rglob("*_test.py")}):
        place = path.relative_to(tests)
        folder, words = package / place.parent, place.stem.split("_")
        named = ["_".join(words[1:count]) for count in range(2, len(words) + 1)] if words[0] == "test" else []
        if place.parent == Path():
            if place.name not in at_root:
                faults.append(
                    f"{place} belongs to no room: put it where its source lies, or among the tests of the house"
                )
        elif not any(
            (folder / f"{name}.py").is_file() or (name == folder.name and _has_code(folder / "__init__.py"))
            for name in named
        ):
            faults.append(f"{place} has no source file in {folder.relative_to(package.parent)}")
    return faults


def undescribed(package: Path) -> list[str]:
    """Folders of Python files without an `__init__.py` that begins with what the folder is."""
    folders = {path.parent for path in package.rglob("*.py")}
    return sorted(
        str(folder.relative_to(package.parent)) for folder in folders if not _docstring(folder / "__init__.py")
    )


def _docstring(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") if path.is_file() else ""


def _has_code(path: Path) -> bool:
    """Whether a module holds more than its docstring."""
    return path.is_file() and len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def long_files(package: Path, most: int) -> list[str]:
    """Files of more than `most` lines."""
    counts = {path: path.read_text(encoding="utf-8").count("\n") for path in sorted(package.rglob("*.py"))}
    return [f"{path.relative_to(package.parent)} has {count} lines" for path, count in counts.items() if count > most]
