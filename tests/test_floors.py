"""The floors of the house: who may import whom, where each heavy library lives, and tests that mirror the source.

How the source is read stands in `floors.py`. Every rule has a test that shows that it can fail.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import REPOSITORY
from tests.floors import (
    Imports,
    cycles,
    long_files,
    misplaced_libraries,
    ours,
    read_imports,
    undescribed,
    unmirrored,
    upward_imports,
)

PACKAGE, TESTS = REPOSITORY / "upres", REPOSITORY / "tests"
MOST_LINES = 300

# From the ground up: what a room may import besides `errors`.
ROOMS = {
    "errors": "",
    "system": "",
    "images": "system",
    "weights": "system",
    "graph": "weights",
    "engines": "graph weights system",
    "metrics": "engines graph images weights system",
    "inspection": "images system",
    "degradation": "images system",
    "models": "engines graph weights system",
    "upscaling": "inspection models engines images graph system",
    "science": "upscaling models images graph system",
    "batch": "science upscaling inspection models engines images graph system",
    "video": "batch upscaling inspection models engines graph images system",
    "evaluation": "video upscaling inspection models engines graph metrics images system",
    "web": "",
    "comparison": "web evaluation upscaling models engines graph metrics images system",
    "export": "models engines images graph weights system",
    "doctor": "models engines images graph weights system",
    "serve": "web batch upscaling inspection models engines images system",
    "training": "evaluation upscaling models engines degradation metrics images graph weights system",
    "__init__": "upscaling export models metrics engines images graph",  # the public names
}
ROOMS["cli"] = " ".join(ROOMS)
ROOMS["__main__"] = "cli system"

# Heavy libraries, and the only modules and packages that may import them.
HOMES = {
    "pyvips": "images.vips doctor.probe",
    "ncnn": "engines.ncnn",
    "openvino": "engines.openvino",
    "torch": "engines.torch engines.opaque.spandrel training cli.train_plan cli.finetune",
    "onnxruntime": "engines.onnx",
    "typer": "cli __main__",
    "rich": "cli __main__",
    "tensorboard": "training",
    "scipy": "training",
    "matplotlib": "training evaluation.plot",
    "cv2": "training.data.keypoints training.data.excerpts",
    "httpx": "system.download system.package_index system.remote_file serve.client",
    "httpcore": "serve.fetch",
    "starlette": "serve",
    "uvicorn": "serve.run",
    "prometheus_client": "serve.metrics",
    "platformdirs": "system.download cli.ui",
    "av": "video",
    "filelock": "system.download system.lock engines.autotune.cache",
    "sqlite3": "system.database",
    "pikepdf": "batch.book_pdf",
    "ray": "batch.ray_pool",
    "c2pa": "batch.c2pa_signing",
    "fsspec": "system.storage",
    "s3fs": "system.storage",
    "packaging": "system.packages",
    "PIL": "images.avif_sequence images.convert images.foreign images.foreign_out upscaling.upscaler",
    "spandrel": "engines.opaque.spandrel",
    "pillow_heif": "images.foreign images.foreign_out",
    "imagecodecs": "images.foreign images.foreign_out images.iso_boxes images.scene",
    "OpenEXR": "images.scene",
    "rawpy": "images.foreign",
    "rasterio": "science.geotiff science.geotiff_out science.rasterio_errors",
    "pydicom": "science.dicom science.dicom_out",
    "nibabel": "science.nifti",
}

OF_THE_HOUSE = {
    "test_chromium.py",
    "test_ci.py",
    "test_cluster_pages.py",
    "test_deploy.py",
    "test_docs_site.py",
    "test_earlier_versions.py",
    "test_floors.py",
    "test_fuzz.py",
    "test_light_imports.py",
    "test_memory_plan.py",
    "test_own_network_page.py",
    "test_packaging.py",
    "test_picture_contract.py",
    "test_public_names.py",
    "test_readme.py",
    "test_scripts.py",
    "test_soak.py",
    "test_software_vulkan.py",
    "test_traps_table.py",
    "test_tutorials.py",
    "test_wheels.py",
}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    return read_imports(PACKAGE)


def test_a_room_imports_only_those_below_it(imports: Imports) -> None:
    assert upward_imports(imports, ROOMS) == []


def test_the_rooms_themselves_have_no_cycle() -> None:
    rooms = {room: {f"upres.{other}" for other in others.split()} for room, others in ROOMS.items()}
    assert cycles(rooms) == []


def test_no_import_cycles(imports: Imports) -> None:
    assert cycles(imports) == []


def test_heavy_libraries_stay_in_their_rooms(imports: Imports) -> None:
    assert misplaced_libraries(imports, HOMES) == []


def test_beside_the_rooms_lie_four_files() -> None:
    beside = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert beside == {"__init__.py", "__main__.py", "errors.py", "py.typed"}


def test_every_room_says_what_it_is() -> None:
    assert undescribed(PACKAGE) == []


def test_files_are_short() -> None:
    assert long_files(PACKAGE, MOST_LINES) == []


def test_tests_mirror_the_source() -> None:
    assert unmirrored(TESTS, PACKAGE, OF_THE_HOUSE) == []


# The rules can fail: each is shown a house with one fault.


def made_house(tmp_path: Path, files: dict[str, str]) -> dict[str, set[str]]:
    """A package `upres` of these files, by their paths without the ending."""
    for name, text in {"__init__": "", **files}.items():
        path = tmp_path / "upres" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_imports(tmp_path / "upres")


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    from upres.images.read import read_picture\n",
        "import importlib\nimportlib.import_module('upres.images.read')\n",
        "_CHILD = ('-m', 'upres.images.read')\n",
        "PROGRAM = f'{1}; import upres.images.read, sys'\n",
        "PROGRAM = 'from upres.images import io, read'\n",
        "from ..images.read import read_picture\n",
        "from upres.images import read\n",
    ],
    ids=["in a function", "by string", "as a child", "in a program", "from, in a program", "relative", "the module"],
)
def test_an_upward_import_is_found(tmp_path: Path, text: str) -> None:
    house = made_house(tmp_path, {"graph/__init__": "", "graph/nodes": text, "images/__init__": "", "images/read": ""})
    assert "graph.nodes imports images.read, which graph may not" in upward_imports(house, ROOMS)


def test_a_docstring_may_name_what_lies_above(tmp_path: Path) -> None:
    house = made_house(tmp_path, {"graph/nodes": '"""See `upres.images.read`."""\n', "images/read": ""})
    assert upward_imports(house, ROOMS) == []


@pytest.mark.parametrize(
    "text", ["from upres import Upscaler\n", "import importlib\nimportlib.import_module('upres').Upscaler\n"]
)
def test_taking_a_public_name_from_the_package_is_an_upward_import(tmp_path: Path, text: str) -> None:
    house = made_house(tmp_path, {"upscaling/tiles": text})
    assert upward_imports(house, ROOMS) == ["upscaling.tiles imports __init__, which upscaling may not"]


def test_taking_a_room_from_the_package_is_an_import_of_the_room(tmp_path: Path) -> None:
    house = made_house(tmp_path, {"models/load": "from upres import engines\n", "engines/__init__": ""})
    assert ours(house)["models.load"] == {"engines"}
    assert upward_imports(house, ROOMS) == []


def test_a_file_without_a_room_is_found(tmp_path: Path) -> None:
    house = made_house(tmp_path, {"attic": "from upres.errors import UpresError\n", "errors": ""})
    assert upward_imports(house, ROOMS) == ["attic lies in no room of the house"]


def test_a_cycle_within_one_room_is_found(tmp_path: Path) -> None:
    house = made_house(
        tmp_path,
        {
            "engines/__init__": "",
            "engines/runner": "from upres.engines.ncnn.runner import NcnnRunner\n",
            "engines/ncnn/runner": "from ..runner import Runner\n",
        },
    )
    assert cycles(house) == [
        "engines.ncnn.runner is part of an import cycle",
        "engines.runner is part of an import cycle",
    ]


@pytest.mark.parametrize(
    ("module", "text", "library"),
    [
        ("upscaling/enlarge", "import pyvips\n", "pyvips"),
        ("engines/runner", "from ncnn import Net\n", "ncnn"),
        ("graph/graph", "def f():\n    import torch.nn.functional as F\n", "torch"),
        ("models/load", "import importlib\nimportlib.import_module('spandrel')\n", "spandrel"),
        ("images/io", "import typer\n", "typer"),
    ],
)
def test_a_misplaced_library_is_found(tmp_path: Path, module: str, text: str, library: str) -> None:
    house = made_house(tmp_path, {module: text})
    homes = " or ".join(HOMES[library].split())
    assert misplaced_libraries(house, HOMES) == [
        f"{module.replace('/', '.')} imports {library}, which belongs in {homes}"
    ]


def test_a_library_at_home_is_no_fault(tmp_path: Path) -> None:
    house = made_house(
        tmp_path,
        {
            "images/vips": "import pyvips\n",
            "training/data/images": "import torch\n",
            "cli/train_plan": "import torch\n",
        },
    )
    assert misplaced_libraries(house, HOMES) == []


def test_a_test_that_mirrors_nothing_is_found(tmp_path: Path) -> None:
    engines = '"""Engines."""\n\n\ndef load(): ...\n'
    made_house(tmp_path, {"images/read": "", "images/__init__": '"""Pictures."""\n', "engines/__init__": engines})
    tests = tmp_path / "tests"
    mirrors = ("test_floors.py", "images/test_read.py", "images/test_read_paths.py", "engines/test_engines.py")
    for name in (*mirrors, "test_strays.py", "images/test_write.py", "images/test_images.py", "images/read_test.py"):
        path = tests / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert unmirrored(tests, tmp_path / "upres", {"test_floors.py"}) == [
        "images/read_test.py has no source file in upres/images",
        "images/test_images.py has no source file in upres/images",
        "images/test_write.py has no source file in upres/images",
        "test_strays.py belongs to no room: put it where its source lies, or among the tests of the house",
    ]


def test_a_folder_that_does_not_say_what_it_is_is_found(tmp_path: Path) -> None:
    made_house(tmp_path, {"__init__": '"""Ours."""\n', "images/__init__": "", "images/read": "", "graph/nodes": ""})
    assert undescribed(tmp_path / "upres") == ["upres/graph", "upres/images"]


def test_a_long_file_is_found(tmp_path: Path) -> None:
    made_house(tmp_path, {"errors": "x = 1\n" * 4})
    assert long_files(tmp_path / "upres", 3) == ["upres/errors.py has 4 lines"]
