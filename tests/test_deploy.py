"""The files in `deploy/` parse, and name settings, paths and ports that exist. No engine runs them here."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from tests import REPOSITORY
from upres.serve.settings import Settings

DEPLOY = REPOSITORY / "deploy"
SETTINGS = {f"UPRES_SERVE_{field.name.upper()}" for field in fields(Settings)} | {
    f"UPRES_SERVE_{name}" for name in ("TOKEN", "TOKEN_FILE", "CONFIG")
}


def documents(name: str) -> list[Any]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def test_every_setting_exists() -> None:
    texts = [path.read_text(encoding="utf-8") for path in DEPLOY.rglob("*") if path.is_file()]
    named = {name for text in texts for name in re.findall(r"UPRES_SERVE_\w+", text)}
    assert {"UPRES_SERVE_HOST", "UPRES_SERVE_TOKEN_FILE"} <= named <= SETTINGS


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    pairs = [re.fullmatch(r"([A-Z]+) (.+)", line) for line in lines]
    assert all(pairs), lines
    return [(pair[1], pair[2]) for pair in pairs if pair]


def test_the_image_runs_without_rights_and_can_be_asked_for_its_health() -> None:
    steps = instructions()
    known = {"FROM", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"}
    assert {name for name, _ in steps} == known
    last = {name: words for name, words in steps}
    assert (
        last["USER"] == "10001:10001" and "/healthz" in last["HEALTHCHECK"] and '"upres", "serve"' in last["ENTRYPOINT"]
    )
    assert last["EXPOSE"] == str(Settings().port) and f"UPRES_SERVE_PORT={last['EXPOSE']}" in last["ENV"]
    assert all(":" in words.split()[0] for name, words in steps if name == "FROM")  # a version, not the latest


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    for name, words in instructions():
        if name == "COPY" and not words.startswith("--from"):
            *sources, _ = words.split()
            for source in sources:
                assert (REPOSITORY / source).exists() and f"!{source}" in ignored


def test_compose() -> None:
    (compose,) = documents("compose.yaml")
    assert set(compose["services"]) == {"serve", "proxy", "prometheus"}
    serve = compose["services"]["serve"]
    assert serve["read_only"] and serve["cap_drop"] == ["ALL"] and "ports" not in serve
    assert (DEPLOY / "compose.yaml").parent.joinpath(serve["build"]["context"], serve["build"]["dockerfile"]).is_file()
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith("./") else source in compose["volumes"]
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
    (prometheus,) = documents("prometheus.yaml")
    target = prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0]
    assert target == f"serve:{Settings().port}" and target in (DEPLOY / "Caddyfile").read_text(encoding="utf-8")


def test_kubernetes() -> None:
    kinds = {one["kind"]: one for one in documents("kubernetes/upres.yaml")}
    assert set(kinds) == {"Service", "StatefulSet", "PodDisruptionBudget"}
    template = kinds["StatefulSet"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    paths = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert container["securityContext"]["readOnlyRootFilesystem"] and template["spec"]["enableServiceLinks"] is False
    claims = kinds["StatefulSet"]["spec"]["volumeClaimTemplates"]
    volumes = {one["name"] for one in template["spec"]["volumes"]} | {one["metadata"]["name"] for one in claims}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert kinds["Service"]["spec"]["selector"] == template["metadata"]["labels"]
    drain = next(one["value"] for one in container["env"] if one["name"] == "UPRES_SERVE_DRAIN_SECONDS")
    assert float(drain) < template["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_blocks_of_the_proxies_are_closed(name: str) -> None:
    text = re.sub(r'"[^"]*"|#.*', "", (DEPLOY / name).read_text(encoding="utf-8"))
    assert text.count("{") == text.count("}") > 1
