"""The packages that upres imports. `pyproject.toml` repeats the table for pip (`tests/system/test_packages.py`).

Nothing is imported to find out what is installed.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from upres.errors import EngineError
from upres.system.text import first_line


@dataclass(frozen=True, slots=True)
class Package:
    """A package that upres imports.

    name: for pip.
    module: for Python.
    lowest: the oldest version that upres accepts.
    purpose: what upres uses it for.
    extras: of upres that install it; () is the core.
    builds: other packages with the same module, made for other hardware.
    """

    name: str
    module: str
    lowest: str
    purpose: str
    extras: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()


_ONNX_BUILDS = ("gpu", "directml", "openvino", "rocm", "migraphx")

PACKAGES = (
    Package("numpy", "numpy", "1.26", "arrays"),
    Package("pyvips", "pyvips", "3.2", "reads and writes pictures"),
    Package("ncnn", "ncnn", "1.0.20250503", "engine"),
    Package("typer", "typer", "0.26", "command line"),
    Package("rich", "rich", "13.8", "progress bars"),
    Package("httpx", "httpx", "0.27", "downloads"),
    Package("platformdirs", "platformdirs", "4.12", "place of the cache"),
    Package("filelock", "filelock", "4.0", "one process at a time"),
    Package("packaging", "packaging", "23.0", "order of versions"),
    Package("msgspec", "msgspec", "0.18", "checks recipes and configurations"),
    Package("torch", "torch", "2.4", "engine, training", ("torch", "spandrel", "train")),
    Package(
        "onnxruntime",
        "onnxruntime",
        "1.18",
        "engine",
        ("onnx",),
        tuple(f"onnxruntime-{build}" for build in _ONNX_BUILDS),
    ),
    Package("onnx", "onnx", "1.16", "reads and writes ONNX files", ("onnx", "openvino")),
    Package("openvino", "openvino", "2024.4", "engine", ("openvino",)),
    Package("spandrel", "spandrel", "0.4", "runs networks of other projects", ("spandrel",)),
    Package("c2pa-python", "c2pa", "0.38", "signatures", ("c2pa",)),
    Package("ray", "ray", "2.60", "machines of a cluster", ("ray",)),
    Package("fsspec", "fsspec", "2026.9", "pictures in object stores", ("cloud",)),
    Package("s3fs", "s3fs", "2026.9", "pictures in S3", ("cloud",)),
    Package("pikepdf", "pikepdf", "9.0", "pictures of PDF files", ("pdf",)),
    Package("opencv-python-headless", "cv2", "4.10.0.84", "keypoints of excerpts", ("prepare",)),
    Package("rasterio", "rasterio", "1.4", "GeoTIFF", ("geo",)),
    Package("pydicom", "pydicom", "3.0", "DICOM", ("medical",)),
    Package("pylibjpeg", "pylibjpeg", "2.0", "compressed DICOM", ("medical",)),
    Package("pylibjpeg-openjpeg", "openjpeg", "2.3", "DICOM in JPEG 2000", ("medical",)),
    Package("pyjpegls", "jpeg_ls", "1.4", "DICOM in JPEG-LS", ("medical",)),
    Package("python-gdcm", "gdcm", "3.2.6", "DICOM in JPEG Lossless", ("medical",)),
    Package("pillow", "PIL", "10.3", "BMP, TGA, PSD; DICOM in JPEG", ("formats", "medical")),
    Package("imagecodecs", "imagecodecs", "2024.6.1", "JPEG 2000, Radiance HDR", ("formats",)),
    Package("pyjpegxl", "pyjpegxl", "0.3", "JPEG XL", ("formats",)),
    Package("openexr", "OpenEXR", "3.3", "OpenEXR", ("formats",)),
    Package("pillow-heif", "pillow_heif", "0.18", "HEIC; its wheels carry x265, which is GPL", ("heic",)),
    Package("rawpy", "rawpy", "0.21", "camera raw", ("raw",)),
    Package("nibabel", "nibabel", "5.2", "NIfTI", ("medical",)),
    Package("av", "av", "18.1", "reads and writes video; its wheels carry x264 and x265, which are GPL", ("video",)),
    Package("safetensors", "safetensors", "0.4.3", "checkpoints of training", ("train",)),
    Package("tensorboard", "tensorboard", "2.16", "curves of training", ("train",)),
    Package("matplotlib", "matplotlib", "3.8", "pictures of training", ("train",)),
    Package("wandb", "wandb", "0.31", "curves of training in Weights & Biases", ("wandb",)),
    Package("starlette", "starlette", "0.46", "server", ("serve",)),
    Package("uvicorn", "uvicorn", "0.34", "server", ("serve",)),
    Package("prometheus-client", "prometheus_client", "0.20", "figures of the server", ("serve",)),
    Package("python-multipart", "python_multipart", "0.0.18", "forms sent to the server", ("serve",)),
)
_BY_MODULE = {package.module: package for package in PACKAGES}

# What each engine imports, its own package first. "spandrel" cannot be chosen: it runs files that only it supports.
ENGINES = {
    "ncnn": ("ncnn",),
    "torch": ("torch",),
    "onnx": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
    "spandrel": ("spandrel", "torch"),
}


_REINSTALL = {
    "pyvips": "pip install --force-reinstall 'pyvips[binary]'",
    "upres": "reinstall upres from its source (pip install --force-reinstall --no-deps SOURCE)",
}
_DEBIAN = {  # packages of Debian and Ubuntu for libraries that small containers lack
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
    "libvulkan.so.1": "libvulkan1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libvips.so.42": "libvips42",
}


def has_module(module: str) -> bool:
    """Whether Python would find it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent package that is broken, or a module without a spec
        return False


def missing_modules(engine: str) -> list[str]:
    """The modules that the engine needs and Python does not find."""
    return [module for module in ENGINES[engine] if not has_module(module)]


def builds_of(module: str) -> tuple[str, ...]:
    """The packages that provide a module, the usual one first."""
    package = _BY_MODULE[module]
    return (package.name, *package.builds)


def version_of(package: str) -> str | None:
    """The installed version; None if the package is not installed."""
    found = _installed().get(_plain(package))
    if found is not None:
        return found
    from importlib import metadata  # takes 15 ms, with `email` and `socket`

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _installed() -> dict[str, str]:
    """Versions by plain name, as the folders of installed packages say them (PEP 427); the first place on the path."""
    found: dict[str, str] = {}
    for place in sys.path:
        for folder in Path(place).glob("*.dist-info"):
            package, _, version = folder.name.removesuffix(".dist-info").partition("-")
            found.setdefault(_plain(package), version)
    return found


def _plain(package: str) -> str:
    return package.lower().replace("-", "_").replace(".", "_")


def lowest_version(package: str) -> str | None:
    """The oldest version that upres accepts, the same for all builds; None for packages it does not import."""
    return next((known.lowest for known in PACKAGES if package in (known.name, *known.builds)), None)


def too_old(package: str, version: str) -> str | None:
    """The lowest version that upres requires if `version` is older; else None, also for no version (a local build)."""
    from packaging.version import InvalidVersion, Version

    lowest = lowest_version(package)
    try:
        return lowest if lowest is not None and Version(version) < Version(lowest) else None
    except InvalidVersion:
        return None


def install_command(engine: str) -> str:
    """How to install an engine, or repair it."""
    return "pip install --force-reinstall ncnn" if engine == "ncnn" else f"pip install 'upres[{engine}]'"


def need(what: str, extra: str, *modules: str) -> None:
    """Raises EngineError, with the remedy, if a package is not installed that `what` ("`ray`", "video") needs.

    extra: of upres that installs them.
    modules: that are needed; without any, all of the extra.
    """
    needed = [package for package in PACKAGES if extra in package.extras and (package.module in modules or not modules)]
    missing = [package.name for package in needed if not has_module(package.module)]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise EngineError(
            f"{what} needs {' and '.join(missing)}, which {are} not installed; remedy: {install_command(extra)}"
        )


def import_failure(what: str, extra: str, module: str, error: Exception) -> EngineError:
    """Why `what` cannot be done, with the remedy: `module`, of that extra ("" is the core), was not imported."""
    if extra and not has_module(module):
        return EngineError(f"{what} needs {module}, which is not installed; remedy: {install_command(extra)}")
    reason = first_line(str(error)) or type(error).__name__
    remedy = remedy_for_import(module, f"{type(error).__name__}: {reason}") or repair_command(module)
    return EngineError(f"{what} needs {module}, which cannot be imported ({reason}); remedy: {remedy}")


def remedy_for_import(module: str, reason: str) -> str | None:
    """The remedy where importing a module failed for that reason ("ImportError: ..."); None for no failed import."""
    library = re.search(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", reason)
    if library:
        package = _DEBIAN.get(library[1])
        return f"sudo apt install {package}" if package else f"install the system package that provides {library[1]}"
    if "DLL load failed" in reason:
        return "install the Microsoft Visual C++ runtime: https://aka.ms/vs/17/release/vc_redist.x64.exe"
    if not reason.startswith(("ImportError", "ModuleNotFoundError", "OSError", "AttributeError", "SyntaxError")):
        return None
    return repair_command(module)


def repair_command(module: str) -> str:
    """How to install a module again."""
    names = builds_of(module) if module in _BY_MODULE else (module,)
    installed = next((name for name in names if version_of(name)), names[0])
    return _REINSTALL.get(module) or f"pip install --force-reinstall {installed}"
