"""MLServer: a runtime of its own, photos in base64 by the Open Inference Protocol's JSON. By HTTP
it takes no binary tensors."""

from __future__ import annotations

from detector import Detector
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    async def load(self) -> bool:
        self.detector = Detector.from_environment()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (photo,) = Base64Codec.decode_input(payload.inputs[0])
        boxes = self.detector(photo)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("boxes", boxes)]
        )
