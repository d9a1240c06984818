"""The floors of the house: imports go down only, and each heavy library lives in one room.

The rules are read off the source with `ast`, imports inside functions included, so nothing is imported here. Every rule has a test that
shows that it can fail.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "upres"

# From the ground up. A room (a module, or a package with all that is in it) may import from the rooms named before it, and no others.
ORDER = [
    "errors",
    "files",
    "lock",
    "pins",
    "download",
    "memory",
    "color",
    "sample",
    "resize",
    "metrics",
    "niqe",
    "spectrum",
    # degradations
    "kernels",
    "degrade_filters",
    "degrade_noise",
    "degrade_camera",
    "degrade_codecs",
    "degrade_recipe",
    "degrade_draw",
    "degrade",
    # model files
    "model_values",
    "zip_entries",
    "pickle_values",
    "pickle_meaning",
    "pickle_reader",
    "torch_file",
    "safetensors_file",
    "foreign_models",
    "ncnn_layers",
    "ncnn_file",
    "weights",
    # networks
    "nodes",
    "analysis",
    "simplify",
    "graph",
    "architectures",
    "ncnn_graph",
    "probed_model",
    "interpolate",
    "catalog_models",
    "catalog_store",
    "catalog",
    "probe_cache",
    "unknown_model",
    "catalog_add",
    "catalog_report",
    "compose",
    "engines",
    # pictures
    "icc_matrix",
    "colour_profile",
    "picture_sniff",
    "picture_data",
    "picture_alpha",
    "picture_read",
    "picture_write",
    "picture",
    "exchange",
    "doctor_machine",
    "doctor_table",
    "doctor_processes",
    "doctor_report",
    "doctor_hints",
    "doctor_probe",
    "doctor",
    # networks over pictures
    "tiles",
    "ensemble",
    "finish",
    "target",
    "plan",
    "judge",
    "stage",
    "passes",
    "upscale",
    "api",
    "jobs",
    "lane",
    "batch",
    "journal",
    "prepare",
    "export_onnx",
    "export_ncnn",
    "export_safetensors",
    "export_report",
    "export",
    "pairs",
    "evaluate",
    "training",
    "__init__",  # the public names: everything above the rooms that it re-exports, everything below the command line
    "cli_errors",
    "cli_progress",
    "cli_pull",
    "cli_engine",
    "cli_models",
    "cli_doctor",
    "cli_export",
    "cli_upscale",
    "cli_evaluate",
    "cli_interpolate",
    "cli_degrade",
    "cli_prepare",
    "cli_train",
    "cli",
    "__main__",
]

# Rooms that must not reach others, not even through a third, whatever the order says.
PICTURES = {"colour_profile", "picture_sniff", "picture_data", "picture_alpha", "picture_read", "picture_write", "picture"}
FORBIDDEN = {"architectures": PICTURES, "engines": PICTURES, "graph": PICTURES}

# Heavy libraries, and the only modules that may import them. A name that ends in a dot stands for all of that package.
HOMES = {
    "pyvips": ("picture", "picture_", "colour_profile", "degrade_codecs"),
    "ncnn": ("engines.ncnn", "engines.ncnn_file", "engines.ncnn_parts", "engines.ncnn_vulkan", "engines.vulkan_devices"),
    "openvino": ("engines.openvino",),
    "torch": ("engines.torch", "engines.spandrel", "training.", "cli_train"),
    "onnxruntime": ("engines.onnx", "engines.onnx_file"),
    "typer": ("cli", "cli_", "__main__"),
    "rich": ("cli", "cli_", "__main__"),
    "tensorboard": ("training.",),
    "scipy": ("training.",),
    "matplotlib": ("training.",),
    "httpx": ("download",),
    "PIL": ("exchange", "api"),
    "spandrel": ("engines.spandrel",),
}

Imports = Mapping[str, set[str]]  # module of ours (without "upres.") -> full dotted names that it imports


def imported_names(source: str, module: str, *, is_package: bool) -> set[str]:
    """Every dotted name that `source`, the text of `upres.<module>`, imports anywhere in it; `from a import b` gives a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = ["upres", *module.split(".")] if module != "__init__" else ["upres"]
                parent = here[: len(here) - node.level + (1 if is_package else 0)]
                base = ".".join([*parent, base] if base else parent)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            names.add(str(node.args[0].value))
    return names


def read_imports(package: Path) -> dict[str, set[str]]:
    """All modules of `package`: {"engines.ncnn": {"numpy", "upres.graph", ...}}; a package's `__init__` goes by the package's name."""
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        if is_package and len(parts) > 1:
            parts.pop()
        module = ".".join(parts)
        found[module] = imported_names(path.read_text(encoding="utf-8"), module, is_package=is_package and module != "__init__")
    return found


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


def upward_imports(imports: Imports, order: list[str]) -> list[str]:
    faults: list[str] = []
    for module, targets in ours(imports).items():
        for target in sorted(targets):
            below, above = room_of(target), room_of(module)
            if below == above:
                continue
            missing = [room for room in (below, above) if room not in order]
            if missing:
                faults.append(f"{missing[0]} has no place in ORDER")
            elif order.index(below) > order.index(above):
                faults.append(f"{module} imports {target}, which lies above it")
    return faults


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """All modules that `start` imports, directly or through others."""
    seen: set[str] = set()
    queue = sorted(graph[start])
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


def forbidden_imports(imports: Imports, forbidden: Mapping[str, set[str]]) -> list[str]:
    graph = ours(imports)
    return [
        f"{module} must not reach {target}"
        for module in graph
        for target in sorted(reachable(graph, module))
        if room_of(target) in forbidden.get(room_of(module), set())
    ]


def misplaced_libraries(imports: Imports, homes: Mapping[str, tuple[str, ...]]) -> list[str]:
    def at_home(module: str, home: str) -> bool:
        if home.endswith("_"):
            return module.startswith(home)
        return module == home or (home.endswith(".") and f"{module}.".startswith(home))

    return [
        f"{module} imports {library}, which belongs in {' or '.join(homes[library])}"
        for module, names in imports.items()
        for library in sorted({name.split(".")[0] for name in names} & homes.keys())
        if not any(at_home(module, home) for home in homes[library])
    ]


def training_imports_outside_verb(imports: Imports) -> list[str]:
    """The core never imports `training/`; only the verb that trains does."""
    allowed = {"training", "cli_train", "cli_prepare"}
    return [
        f"{module} imports {target}: only cli_train and cli_prepare may"
        for module, targets in ours(imports).items()
        for target in sorted(targets)
        if room_of(target) == "training" and room_of(module) not in allowed
    ]


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    return read_imports(PACKAGE)


def test_every_room_has_a_place_in_the_order(imports: Imports) -> None:
    assert sorted({room_of(module) for module in imports} - set(ORDER)) == []


def test_imports_go_down_only(imports: Imports) -> None:
    assert upward_imports(imports, ORDER) == []


def test_no_import_cycles(imports: Imports) -> None:
    assert cycles(imports) == []


def test_rooms_that_must_not_know_pictures(imports: Imports) -> None:
    assert forbidden_imports(imports, FORBIDDEN) == []


def test_the_core_does_not_import_training(imports: Imports) -> None:
    assert training_imports_outside_verb(imports) == []


def test_heavy_libraries_stay_in_their_rooms(imports: Imports) -> None:
    assert misplaced_libraries(imports, HOMES) == []


# The rules can fail: each is shown a house with one fault.


def made_house(tmp_path: Path, **files: str) -> dict[str, set[str]]:
    for name, text in {"__init__": "", **files}.items():
        path = tmp_path / "upres" / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_imports(tmp_path / "upres")


def test_an_upward_import_is_found_even_inside_a_function(tmp_path: Path) -> None:
    house = made_house(tmp_path, errors="def f():\n    from upres.picture import Picture\n", picture="")
    assert upward_imports(house, ORDER) == ["errors imports picture, which lies above it"]


def test_an_upward_import_by_string_is_found(tmp_path: Path) -> None:
    house = made_house(tmp_path, errors="import importlib\nimportlib.import_module('upres.picture')\n", picture="")
    assert upward_imports(house, ORDER) == ["errors imports picture, which lies above it"]


def test_a_relative_upward_import_is_found(tmp_path: Path) -> None:
    house = made_house(tmp_path, engines__in____init__="", engines__in__ncnn="from ..upscale import Upscaler\n", upscale="")
    assert upward_imports(house, ORDER) == ["engines.ncnn imports upscale, which lies above it"]


def test_taking_a_public_name_from_the_package_is_an_upward_import(tmp_path: Path) -> None:
    house = made_house(tmp_path, tiles="from upres import Upscaler\n")
    assert upward_imports(house, ORDER) == ["tiles imports __init__, which lies above it"]


def test_taking_a_module_from_the_package_is_an_import_of_the_module(tmp_path: Path) -> None:
    house = made_house(tmp_path, catalog="from upres import weights\n", weights="")
    assert ours(house)["catalog"] == {"weights"}
    assert upward_imports(house, ORDER) == []


def test_a_room_without_a_place_is_found(tmp_path: Path) -> None:
    house = made_house(tmp_path, attic="from upres.errors import UpresError\n", errors="")
    assert upward_imports(house, ORDER) == ["attic has no place in ORDER"]


def test_a_cycle_within_one_room_is_found(tmp_path: Path) -> None:
    house = made_house(
        tmp_path,
        engines__in____init__="",
        engines__in__base="from upres.engines.ncnn import Runner\n",
        engines__in__ncnn="from .base import Engine\n",
    )
    assert cycles(house) == ["engines.base is part of an import cycle", "engines.ncnn is part of an import cycle"]


def test_a_graph_that_knows_pictures_is_found(tmp_path: Path) -> None:
    house = made_house(tmp_path, graph="from upres.picture import Picture\n", picture="")
    assert forbidden_imports(house, FORBIDDEN) == ["graph must not reach picture"]


def test_a_graph_that_knows_pictures_through_another_is_found(tmp_path: Path) -> None:
    house = made_house(tmp_path, graph="import upres.nodes\n", nodes="from upres import picture\n", picture="")
    assert forbidden_imports(house, FORBIDDEN) == ["graph must not reach picture"]


def test_a_core_that_imports_training_is_found(tmp_path: Path) -> None:
    house = made_house(tmp_path, cli="from upres.training.loop import train\n", training__in____init__="", training__in__loop="")
    assert training_imports_outside_verb(house) == ["cli imports training.loop: only cli_train and cli_prepare may"]


@pytest.mark.parametrize(
    ("module", "text", "library"),
    [
        ("upscale", "import pyvips\n", "pyvips"),
        ("engines__in__base", "from ncnn import Net\n", "ncnn"),
        ("graph", "def f():\n    import torch.nn.functional as F\n", "torch"),
        ("picture", "import typer\n", "typer"),
    ],
)
def test_a_misplaced_library_is_found(tmp_path: Path, module: str, text: str, library: str) -> None:
    house = made_house(tmp_path, **{module: text})
    name = module.replace("__in__", ".")
    assert misplaced_libraries(house, HOMES) == [f"{name} imports {library}, which belongs in {' or '.join(HOMES[library])}"]


def test_a_library_at_home_is_no_fault(tmp_path: Path) -> None:
    house = made_house(
        tmp_path,
        picture="import pyvips\n",
        picture_encode="import pyvips\n",
        training__in__loop="import torch\n",
        cli_train="import torch\n",
    )
    assert misplaced_libraries(house, HOMES) == []
