"""Ours: the same processor as its author writes it, in four forms."""

import sys

from goplugin import batch
from goplugin.batch import Batch, Message


@batch.processor
def each(message: Message) -> Message:
    message.payload = message.payload.upper()
    return message


@batch.processor
async def each_async(message: Message) -> Message:
    message.payload = message.payload.upper()
    return message


@batch.batch_processor
def whole(batch: Batch) -> Batch:
    for message in batch:
        message.payload = message.payload.upper()
    return batch


@batch.batch_processor
async def whole_async(batch: Batch) -> Batch:
    for message in batch:
        message.payload = message.payload.upper()
    return batch


batch.serve({"each": each, "each-async": each_async, "whole": whole, "whole-async": whole_async}[sys.argv[1]])
