"""Event source for ansible-rulebook: the lines of a file.

Arguments: path; pace, "time" to give each event at its time ("t", in seconds)
or "full" to give all as fast as they are taken; linger, how many seconds the
source stays after the last, for windows that are still open.
"""

import asyncio
import json
import time
from typing import Any


async def main(queue: asyncio.Queue, args: dict[str, Any]) -> None:
    with open(args["path"], encoding="utf-8") as f:
        events = [json.loads(line) for line in f]
    # The queue holds one event: when a few were taken, the engine runs.
    for _ in range(5):
        await queue.put({"type": "begin", "device": "begin"})
    print("BEGIN", flush=True)
    begun = time.monotonic() - (events[0]["t"] if events else 0)
    for event in events:
        if args["pace"] == "time":
            wait = begun + event["t"] - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
        await queue.put(event)
    await queue.put({"type": "end", "device": "end"})
    await asyncio.sleep(float(args["linger"]))
