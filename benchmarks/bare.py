"""What there is to compare with: a FastAPI route that reads the same request and answers a constant slate."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Ask(BaseModel):
    placement: str
    anonymous_id: str
    context: dict[str, str] = {}
    limit: int = 10


class Item(BaseModel):
    item_id: str
    delivery_id: str
    position: int
    score: float
    predicted_click: float
    expected_value: float


class Answer(BaseModel):
    request_id: str
    placement: str
    variant: str
    items: list[Item]


_ITEMS = [
    Item(item_id=f"i{i}", delivery_id="x" * 32, position=i, score=0.1, predicted_click=0.01, expected_value=0.1)
    for i in range(1, 11)
]


@app.post("/v1/recommendations")
async def recommend(ask: Ask) -> Answer:
    return Answer(request_id="x" * 22, placement=ask.placement, variant="learnt", items=_ITEMS)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False)
