"""The files of deploy/: what can be checked without Docker and a cluster, which is syntax and agreement."""

import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MODEL = "plain_cnn-digits-1"

pytestmark = pytest.mark.tensorflow_only


def documents(name):
    return [one for one in yaml.safe_load_all((DEPLOY / name).read_text()) if one]


def of_kind(name, kind):
    (found,) = [one for one in documents(name) if one["kind"] == kind]
    return found


def options(arguments):
    return dict(one.removeprefix("--").split("=", 1) for one in arguments)


def test_every_manifest_has_what_kubernetes_requires():
    names = {"kserve.yaml", "kustomization.yaml", "tensorflow_serving.yaml", "volume.yaml"}
    assert names == {path.name for path in DEPLOY.glob("*.yaml")} - {"compose.yaml"}
    kinds = set()
    for name in names:
        for document in documents(name):
            assert "/" in document["apiVersion"] or document["apiVersion"] == "v1"
            kinds.add(document["kind"])
            if document["kind"] != "Kustomization":
                assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", document["metadata"]["name"])
                assert document["spec"]
    assert kinds == {"Deployment", "InferenceService", "Kustomization", "PersistentVolumeClaim", "Service"}


def test_models_config_is_read_by_tensorflow_servings_own_schema():
    config = text_format.Parse(
        (DEPLOY / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config
    (model,) = config
    assert (model.name, model.base_path, model.model_platform) == (MODEL, f"/models/{MODEL}", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 2
    assert dict(model.version_labels) == {"stable": 1}


def test_batching_config_has_only_fields_of_batching_parameters():
    # BatchingParameters is in no package on PyPI: its fields are wrappers, one a line.
    text = re.sub("#.*", "", (DEPLOY / "batching.config").read_text())
    found = dict(re.findall(r"(\w+) \{ value: (\d+) \}\n", text))
    assert not re.sub(r"\w+ \{ value: \d+ \}\n", "", text).strip()
    assert found.keys() == {"max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"}
    assert int(found["max_batch_size"]) <= 128


def test_compose_serves_the_run_folders_read_only_on_loopback():
    (service,) = documents("compose.yaml")[0]["services"].values()
    assert service["image"].startswith("tensorflow/serving:")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert [port.rsplit(":", 1)[1] for port in service["ports"]] == ["8500", "8501"]
    for volume in service["volumes"]:
        source, _, mode = volume.split(":")
        assert mode == "ro"
        assert (DEPLOY / source).exists()
    targets = {volume.split(":")[1] for volume in service["volumes"]}
    flags = options(service["command"])
    assert {flags["model_config_file"], flags["batching_parameters_file"], "/models"} == targets
    assert f"/v1/models/{MODEL} " in service["healthcheck"]["test"][-1]


def test_deployment_is_ready_when_the_model_is_and_runs_without_root():
    deployment = of_kind("tensorflow_serving.yaml", "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "http": 8501}
    assert container["readinessProbe"]["httpGet"] == {"path": f"/v1/models/{MODEL}", "port": "http"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]


def test_deployment_mounts_the_claim_read_only_and_the_config_that_kustomize_makes():
    pod = of_kind("tensorflow_serving.yaml", "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    claim = of_kind("volume.yaml", "PersistentVolumeClaim")["metadata"]["name"]
    assert volumes["saved-models"]["persistentVolumeClaim"] == {"claimName": claim, "readOnly": True}
    assert mounts["saved-models"] == {"name": "saved-models", "mountPath": "/models", "readOnly": True}
    kustomization = of_kind("kustomization.yaml", "Kustomization")
    assert all((DEPLOY / one).is_file() for one in kustomization["resources"])
    (made,) = kustomization["configMapGenerator"]
    assert volumes["config"]["configMap"]["name"] == made["name"]
    flags = options(container["args"])
    for flag in ("model_config_file", "batching_parameters_file"):
        folder, name = flags[flag].rsplit("/", 1)
        assert folder == mounts["config"]["mountPath"]
        assert name in made["files"]
        assert (DEPLOY / name).is_file()


def test_service_finds_the_pods_and_their_ports():
    deployment = of_kind("tensorflow_serving.yaml", "Deployment")["spec"]
    service = of_kind("tensorflow_serving.yaml", "Service")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (deployment["selector"]["matchLabels"], service["selector"]):
        assert selector.items() <= labels.items()
    names = {port["name"] for port in deployment["template"]["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["ports"]} == names


def test_inference_service_reads_the_run_folder_from_the_claim():
    predictor = of_kind("kserve.yaml", "InferenceService")["spec"]["predictor"]
    claim = of_kind("volume.yaml", "PersistentVolumeClaim")["metadata"]["name"]
    assert predictor["model"]["modelFormat"] == {"name": "tensorflow"}
    assert predictor["model"]["storageUri"] == f"pvc://{claim}/{MODEL}"


def test_all_files_name_one_release_of_tensorflow_serving():
    tags = set()
    for name in ("compose.yaml", "tensorflow_serving.yaml", "kserve.yaml"):
        text = (DEPLOY / name).read_text()
        tags |= set(re.findall(r"tensorflow/serving:(?:\$\{TENSORFLOW_SERVING_TAG:-)?([\d.]+)", text))
        tags |= set(re.findall(r"runtimeVersion: ([\d.]+)", text))
    assert len(tags) == 1
