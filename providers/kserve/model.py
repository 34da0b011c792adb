"""A model on an inference server: its inputs and outputs by its metadata, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from providers.engine import detector
from providers.engine.detector import NetworkOptions, PictureInput
from providers.engine.mini_batches import RunnableNetwork
from providers.engine.reader import NetworkReader
from providers.errors import Misconfigured
from providers.kserve import protocol

Arrays = Mapping[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]

IMAGE_DATATYPES = ("FP32", "FP16")


class ModelInterface(NamedTuple):
    """The inputs and outputs of a model on its server, and whether its tensors go in binary.
    `further` are the inputs beside the picture and their values, the same for every picture."""

    image: protocol.Tensor
    further: Sequence[tuple[protocol.Tensor, NDArray[Any]]]
    output_names: Sequence[str]
    picture: PictureInput
    binary: bool = True


class Model(NamedTuple):
    """A model on its server, its reader, and the shapes of its outputs for a grey picture."""

    network: RunnableNetwork
    reader: NetworkReader
    shapes: Shapes

    def fits(self, outputs: Arrays) -> bool:
        """Whether the outputs have the shapes of this model's."""
        shapes = shapes_of(outputs)
        if self.reader.is_of_fixed_length:
            return shapes == self.shapes
        return all(
            _without_rows(shapes[name]) == _without_rows(self.shapes[name]) for name in shapes
        )


def interface_of(
    metadata: protocol.ModelMetadata, model: str, options: NetworkOptions
) -> ModelInterface:
    """The inputs and outputs by a model's metadata. Raises Misconfigured if the first input takes
    no pictures, or if no output can be read."""
    names = [output.name for output in metadata.outputs if output.datatype in protocol.NUMBERS]
    if not names or not metadata.inputs:
        raise Misconfigured(
            f"model: the metadata of {model} names no inputs, or no outputs of "
            f"{', '.join(protocol.NUMBERS)}"
        )
    image, *further = metadata.inputs
    picture = None
    if image.datatype in IMAGE_DATATYPES:
        picture = detector.picture_input(image.shape, options)
    if picture is None:
        raise Misconfigured(
            f"model: the input of {model} is {image.datatype} {image.shape}; "
            f"expected {' or '.join(IMAGE_DATATYPES)} {detector.INPUT_FORMS}"
        )
    return ModelInterface(image, list(_known_inputs(further, picture)), names, picture)


def shapes_of(outputs: Arrays) -> Shapes:
    """The shapes of the outputs by name."""
    return {name: array.shape for name, array in outputs.items()}


def _without_rows(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape (n, rows, ...) without its rows."""
    return (*shape[:1], *shape[2:])


def _known_inputs(
    further: Sequence[protocol.Tensor], picture: PictureInput
) -> Iterator[tuple[protocol.Tensor, NDArray[Any]]]:
    """The further inputs of known meaning, and their values. A server says itself which others it
    cannot do without."""
    for tensor in further:
        values = detector.further_input(tensor.name, tensor.shape, picture.size)
        if values is not None and tensor.datatype in protocol.DATATYPES:
            yield tensor, values
