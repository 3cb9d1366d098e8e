# SPDX-License-Identifier: Apache-2.0
"""The peer: the same prediction as a FastAPI service, as one would write it with care."""
import os
from typing import List

import numpy
import xgboost
from fastapi import FastAPI
from pydantic import BaseModel

booster = xgboost.Booster(model_file=os.environ["BENCH_MODEL"])
booster.set_param({"nthread": 1})
app = FastAPI()


class Request(BaseModel):
    model: str
    features: List[List[float]]


@app.post("/api/v1/predict")
async def predict(request: Request):
    rows = numpy.asarray(request.features, dtype=numpy.float32)
    return {"predictions": booster.inplace_predict(rows).tolist(), "model": request.model}
