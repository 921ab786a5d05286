"""Versions that come, go, are wrong, or are where they must not be, while requests run."""

import asyncio
import shutil
import threading
import time

import keras
import numpy as np
import pytest
import requests
import tensorflow as tf
from google.protobuf import text_format
from model_server import running
from tensorflow_serving.config import model_server_config_pb2

from kerastricks.errors import UsageError
from kerastricks.serving.server import ServeOptions
from kerastricks.serving.server.models import Models
from kerastricks.serving.server.repository import configured, discover, read_config
from kerastricks.serving.server.status import ServingError

pytestmark = pytest.mark.tensorflow_only
MODEL = "/v1/models/half_plus_three"


def copy_version(source, target):
    begun = target.with_name(f".begun-{target.name}")
    shutil.copytree(source, begun)
    begun.rename(target)


def predicted(url, address=MODEL, value=1.0):
    found = requests.post(f"{url}{address}:predict", json={"instances": [value]}, timeout=60)
    return found.json()["predictions"][0] if found.ok else found.status_code


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def states(url, address=MODEL):
    found = requests.get(url + address, timeout=60).json().get("model_version_status", [])
    return {one["version"]: (one["state"], one["status"]["error_code"]) for one in found}


def test_a_new_version_takes_over_without_a_failed_request_and_a_bad_one_is_refused(repository, half_plus):
    with running(repository) as where:
        answers, end = [], threading.Event()

        def ask():
            with requests.Session() as session:
                while not end.is_set():
                    found = session.post(f"{where.url}{MODEL}:predict", json={"instances": [1.0]}, timeout=60)
                    answers.append(found.json()["predictions"][0] if found.ok else found.text)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for one in threads:
            one.start()
        until(lambda: answers)
        copy_version(half_plus[2], repository / "half_plus_three" / "124")
        until(lambda: states(where.url) == {"124": ("AVAILABLE", "OK")})
        until(lambda: answers[-1] == 2.5)
        # One that cannot be loaded: the old one goes on, and its state says why.
        broken = repository / "half_plus_three" / ".begun-125"
        shutil.copytree(half_plus[3], broken)
        (broken / "variables" / "variables.data-00000-of-00001").write_bytes(b"")
        broken.rename(repository / "half_plus_three" / "125")
        until(lambda: states(where.url).get("125", ("", ""))[0] == "END")
        assert states(where.url)["124"] == ("AVAILABLE", "OK")
        assert states(where.url)["125"][1] != "OK"
        (repository / "half_plus_three" / "126").mkdir()
        (repository / "half_plus_three" / "126" / "saved_model.pb").write_bytes(b"no protobuf")
        until(lambda: states(where.url).get("126", ("", ""))[0] == "END")
        assert predicted(where.url) == 2.5
        # Written anew it is loaded.
        shutil.rmtree(repository / "half_plus_three" / "126")
        copy_version(half_plus[3], repository / "half_plus_three" / "126")
        until(lambda: predicted(where.url) == 3.5)
        end.set()
        for one in threads:
            one.join()
    assert set(answers) == {3.5, 2.5}
    assert len([one for one in where.lines if one.startswith("refused half_plus_three/125")]) == 1  # not at each look


def test_models_come_by_themselves_and_stay_while_their_folder_is_gone(tmp_path, half_plus):
    with running(tmp_path) as where:
        assert where.models == []
        assert requests.get(f"{where.url}/v1/models/late", timeout=60).status_code == 404
        (tmp_path / "late").mkdir()
        copy_version(half_plus[2], tmp_path / "late" / "1")
        until(lambda: predicted(where.url, "/v1/models/late") == 2.5)
        (tmp_path / "late").rename(tmp_path / ".away")
        time.sleep(0.3)
        assert predicted(where.url, "/v1/models/late") == 2.5


def test_labels_and_versions_of_a_configuration(repository, half_plus, tmp_path):
    copy_version(half_plus[2], repository / "half_plus_three" / "124")
    file = tmp_path / "models.config"
    file.write_text(
        """model_config_list { config { name: "half" base_path: "/models/half_plus_three" model_platform: "tensorflow"
             model_version_policy { specific { versions: 123 versions: 124 } }
             version_labels { key: "stable" value: 123 } version_labels { key: "canary" value: 124 } } }"""
    )
    with running(repository, config_file=file) as where:
        assert where.models == ["half"]
        assert predicted(where.url, "/v1/models/half/labels/stable") == 3.5
        assert predicted(where.url, "/v1/models/half/labels/canary") == 2.5
        assert predicted(where.url, "/v1/models/half/versions/123") == 3.5
        assert predicted(where.url, "/v1/models/half") == 2.5
        assert predicted(where.url, "/v1/models/half/labels/other") == 404
        assert set(states(where.url, "/v1/models/half/labels/canary")) == {"124"}


def test_the_newest_versions_are_served(repository, half_plus):
    for number in ("1", "9", "010", "124"):
        copy_version(half_plus[2], repository / "half_plus_three" / number)
    (source,) = discover(ServeOptions(repository, latest=3)).values()
    assert list(source.wanted(repository)) == [124, 123, 10]


def test_what_is_no_version_or_outside_of_the_repository_is_never_loaded(repository, half_plus, tmp_path):
    model = repository / "half_plus_three"
    outside = tmp_path / "outside"
    shutil.copytree(half_plus[2], outside / "900")
    (model / "900").symlink_to(outside / "900")
    (model / "901").mkdir()
    (model / "901" / "saved_model.pb").symlink_to(outside / "900" / "saved_model.pb")
    (model / "902").write_bytes(b"a file")
    (model / "903").mkdir()
    for name in ("904x", "-905", "0x90", "9 06", "99999999999999999999"):
        shutil.copytree(half_plus[2], model / name)
    (repository / "linked").symlink_to(outside)
    shutil.copytree(half_plus[2], repository / ".hidden" / "1")
    found = discover(ServeOptions(repository, latest=100))
    assert list(found) == ["half_plus_three"]
    assert list(found["half_plus_three"].wanted(repository)) == [123]


@pytest.mark.parametrize("base", ["/etc", "../outside", "half_plus_three/../../outside", "linked"])
def test_a_base_path_outside_of_the_repository_is_refused(repository, tmp_path, base):
    (repository / "linked").symlink_to(tmp_path)
    text = f'model_config_list {{ config {{ name: "m" base_path: "{base}" }} }}'
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    if base == "/etc":  # a path of a container: its last part, in the repository
        assert configured(config, repository)["m"].folder == repository / "etc"
        return
    with pytest.raises(ServingError, match="inside the repository"):
        configured(config, repository)


def test_a_reload_over_the_api_serves_other_models_and_a_wrong_one_changes_nothing(repository, half_plus):
    copy_version(half_plus[2], repository / "half_plus_three" / "124")
    models = Models(ServeOptions(repository), say=lambda line: None)
    models.update()

    def config(text):
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())

    one = 'config { name: "renamed" base_path: "half_plus_three" model_version_policy { all {} } }'
    models.reload(config(f"model_config_list {{ {one} }}"))
    assert models.names() == ["renamed"]
    assert [state.version for state in models.states("renamed")] == [124, 123]
    for wrong in ("", f"model_config_list {{ {one} {one} }}", 'model_config_list { config { name: "a/b" } }'):
        with pytest.raises(ServingError):
            models.reload(config(wrong))
        assert models.names() == ["renamed"]
    models.close()


def test_a_config_file_that_does_not_parse_is_one_line(tmp_path):
    (tmp_path / "models.config").write_text("models { }")
    with pytest.raises(UsageError, match=r"models\.config: no model_config_list") as error:
        read_config(tmp_path / "models.config")
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="No such file"):
        read_config(tmp_path / "none.config")


def test_a_version_in_use_is_freed_when_its_last_request_ends(repository, half_plus):
    models = Models(ServeOptions(repository), say=lambda line: None)
    models.update()
    with models.lease("half_plus_three") as old:
        copy_version(half_plus[2], repository / "half_plus_three" / "124")
        updating = threading.Thread(target=models.update)
        updating.start()
        until(lambda: any(one.state == "UNLOADING" for one in models.states("half_plus_three")))
        with models.lease("half_plus_three") as new:
            assert new.version == 124
        with pytest.raises(ServingError, match="version 123"), models.lease("half_plus_three", 123):
            pass
        assert asyncio.run(old.run("", {"x": np.ones(1, "float32")}))["y"] == [3.5]
    updating.join()
    assert [one.version for one in models.states("half_plus_three")] == [124]
    models.close()


def test_variables_that_are_not_restored_by_name_are_refused_with_the_way_out(tmp_path):
    class Old(tf.Module):  # exports of before: TensorFlow saves copies of Keras's variables, which nothing reads
        def __init__(self):
            super().__init__()
            self.model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
        def call(self, x):
            return {"y": self.model(x, training=False)}

    module = Old()
    tf.saved_model.save(module, str(tmp_path / "old" / "1"), signatures={"serving_default": module.call})
    models = Models(ServeOptions(tmp_path), say=lambda line: None)
    models.update()
    (state,) = models.states("old")
    assert (state.state, state.error_code) == ("END", "FAILED_PRECONDITION")
    assert "export the run again" in state.error_message
    assert not models.ready()
