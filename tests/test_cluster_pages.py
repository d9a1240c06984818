"""The files of the pages on clusters parse, have the fields of their kinds, and run commands that exist."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests import REPOSITORY
from upres.cli.main import app

PAGES = ("cluster.md", "many-machines.md")
# The fields that may stand there, * for those that must. Of KubeRay by ray-operator/apis/ray/v1/rayjob_types.go and
# raycluster_types.go (2025), of Kubernetes by its API reference (batch/v1, core/v1).
POD = {"containers*", "volumes", "restartPolicy", "subdomain", "terminationGracePeriodSeconds"}
CONTAINER = {"name*", "image*", "env", "resources", "volumeMounts", "command"}
GROUP = {"template*", "rayStartParams*"}
FIELDS: dict[str, set[str]] = {
    "RayJob": {"entrypoint*", "shutdownAfterJobFinishes", "rayClusterSpec*"},
    "rayClusterSpec": {"headGroupSpec*", "workerGroupSpecs", "enableInTreeAutoscaling", "autoscalerOptions"},
    "autoscalerOptions": {"idleTimeoutSeconds", "upscalingMode"},
    "headGroupSpec": GROUP,
    "workerGroupSpecs": GROUP | {"groupName*", "replicas", "minReplicas*", "maxReplicas*"},
    "Job": {"template*", "completions", "parallelism", "completionMode", "backoffLimit"},
    "Service": {"clusterIP", "selector*", "ports*"},
    "pod": POD,
    "containers": CONTAINER,
}
VERSIONS = {"RayJob": "ray.io/v1", "Job": "batch/v1", "Service": "v1"}


def documents() -> Iterator[Any]:
    yaml = pytest.importorskip("yaml")
    for page in PAGES:
        text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
        for block in re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            yield from yaml.safe_load_all(block)


def check(value: dict[str, Any], kind: str) -> None:
    allowed = {name.rstrip("*") for name in FIELDS[kind]}
    needed = {name[:-1] for name in FIELDS[kind] if name.endswith("*")}
    assert needed <= value.keys() <= allowed, (kind, value.keys())


def pods(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "template" in value:
            yield value["template"]["spec"]
        for inner in value.values():
            yield from pods(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pods(inner)


def test_files_for_kubernetes_have_the_fields_of_their_kinds() -> None:
    kinds: list[str] = []
    for one in documents():
        if "kind" not in one:
            continue
        kinds.append(one["kind"])
        assert (one["apiVersion"], set(one)) == (VERSIONS[one["kind"]], {"apiVersion", "kind", "metadata", "spec"})
        check(one["spec"], one["kind"])
        for pod in pods(one["spec"]):
            check(pod, "pod")
            volumes = {volume["name"] for volume in pod.get("volumes", [])}
            for container in pod["containers"]:
                check(container, "containers")
                assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    assert sorted(kinds) == ["Job", "RayJob", "Service"]


def test_the_ray_job_has_groups_that_scale() -> None:
    (job,) = (one for one in documents() if one.get("kind") == "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    check(cluster, "rayClusterSpec")
    check(cluster["autoscalerOptions"], "autoscalerOptions")
    check(cluster["headGroupSpec"], "headGroupSpec")
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    for group in cluster["workerGroupSpecs"]:
        check(group, "workerGroupSpecs")
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.extras
def test_the_file_of_the_cluster_launcher_is_one_by_rays_own_schema() -> None:
    jsonschema, autoscaler = pytest.importorskip("jsonschema"), pytest.importorskip("ray.autoscaler")
    schema = json.loads((Path(autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
    (cluster,) = (one for one in documents() if "cluster_name" in one)
    jsonschema.validate(cluster, schema)
    assert cluster["head_node_type"] in cluster["available_node_types"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "idle_minutes": 5}, schema)


def commands() -> Iterator[list[str]]:
    for page in PAGES:
        text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"(?:srun |entrypoint: |^    )(upres .*)", text, flags=re.MULTILINE):
            yield shlex.split(line, comments=True)
    for one in documents():
        for pod in pods(one):
            yield from (container["command"] for container in pod["containers"] if "command" in container)


def test_every_command_has_options_that_exist() -> None:
    verbs: Any = typer.main.get_command(app)
    seen = 0
    for words in commands():
        assert words[0] == "upres"
        verb = verbs.commands[words[1]]
        known = {option for parameter in verb.params for option in parameter.opts}
        assert {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known, words
        seen += 1
    assert seen >= 8
