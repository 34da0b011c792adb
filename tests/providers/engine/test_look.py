"""A look at a picture is ended from outside, also while its network runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from providers.engine.look import LookEnded, RunningLook, run_session

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

pytestmark = pytest.mark.slow

LAYERS = 4000


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    """A network of many small layers, which takes seconds."""
    helper = onnx.helper
    nodes = [helper.make_node("MatMul", [f"x{i}", "w"], [f"x{i + 1}"]) for i in range(LAYERS)]
    size = 256
    weights = onnx.numpy_helper.from_array(np.eye(size, dtype=np.float32), "w")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "long",
        [value("x0", onnx.TensorProto.FLOAT, [size, size])],
        [value(f"x{LAYERS}", onnx.TensorProto.FLOAT, [size, size])],
        [weights],
    )
    file = Path(tmp_path_factory.mktemp("look")) / "long.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def feeds() -> dict[str, np.ndarray]:
    """The network's input."""
    return {"x0": np.ones((256, 256), np.float32)}


def test_a_network_that_runs_stops_with_its_look(session: onnxruntime.InferenceSession) -> None:
    """A network that runs stops between two layers when its look is ended."""
    began = time.perf_counter()
    run_session(session, [f"x{LAYERS}"], feeds(), RunningLook())
    whole_s = time.perf_counter() - began
    look = RunningLook()
    timer = threading.Timer(whole_s / 20, look.end)
    began = time.perf_counter()
    timer.start()
    with pytest.raises(Exception, match="terminate"):
        run_session(session, [f"x{LAYERS}"], feeds(), look)
    assert time.perf_counter() - began < whole_s / 2


def test_no_network_runs_for_a_look_that_was_ended(session: onnxruntime.InferenceSession) -> None:
    """Once a look is ended, no network is run for it."""
    look = RunningLook()
    look.end()
    assert look.is_ended
    with pytest.raises(LookEnded):
        run_session(session, [f"x{LAYERS}"], feeds(), look)


def test_one_look_does_not_end_another(session: onnxruntime.InferenceSession) -> None:
    """Ending one look leaves others of the same network alone."""
    ended, other = RunningLook(), RunningLook()
    ended.end()
    (output,) = run_session(session, [f"x{LAYERS}"], feeds(), other)
    assert output.shape == (256, 256)
