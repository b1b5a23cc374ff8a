"""The correlator that people write: a buffer of recent events for each device,
rules that look into it at every event, and a thread that wakes up now and then
to see what did not happen.

    correlator.py FILE time|full LINGER

reads events as JSON lines and prints "FOUND rule device t…" for what it finds.
With time it takes each event at its time ("t", in seconds), by the clock on the
wall, which is also the clock of its windows.
"""

import json
import sys
import threading
import time
from collections import defaultdict

WINDOW = 2.0
POLL = 0.1

lock = threading.Lock()
buffers = defaultdict(list)  # device → [(when it came in, event)]
waiting = {}  # device → (when it went down, [event and those like it since])


def found(rule, *events):
    print("FOUND", rule, events[0]["device"], *[e["t"] for e in events], flush=True)


def on_event(event):
    now = time.monotonic()
    with lock:
        device = event["device"]
        buffer = buffers[device]
        buffer.append((now, event))
        buffer[:] = [(t, e) for t, e in buffer if now - t < WINDOW]
        kind = event["type"]
        if kind == "login_failed":
            failed = [e for _, e in buffer if e["type"] == "login_failed"]
            if len(failed) >= 5:
                found("brute-force", *failed)
                buffer[:] = [(t, e) for t, e in buffer if e["type"] != "login_failed"]
        elif kind == "interface_down" and event["interface"] == "access":
            waiting.setdefault(device, (now, []))[1].append(event)
        elif kind == "interface_up":
            waiting.pop(device, None)
        elif kind == "interface_down":
            a = [e for _, e in buffer if e["type"] == kind and e["interface"] == "uplink-a"]
            b = [e for _, e in buffer if e["type"] == kind and e["interface"] == "uplink-b"]
            if a and b:
                found("both-uplinks", *sorted(a + b, key=lambda e: e["t"]))
                buffer[:] = [(t, e) for t, e in buffer if e not in a + b]
        elif kind == "bgp_neighbor_down":
            for entry in buffer:
                if entry[1]["type"] == "config_change":
                    found("change-broke-bgp", entry[1], event)
                    buffer.remove(entry)
                    break


def sweep():
    while True:
        time.sleep(POLL)
        with lock:
            now = time.monotonic()
            for device, (since, events) in list(waiting.items()):
                if now - since >= WINDOW:
                    del waiting[device]
                    found("stays-down", *events)


def main(path, pace, linger):
    threading.Thread(target=sweep, daemon=True).start()
    with open(path, encoding="utf-8") as f:
        lines = list(f)
    print("BEGIN", flush=True)
    begun = time.monotonic() - (json.loads(lines[0])["t"] if lines else 0)
    for line in lines:
        event = json.loads(line)
        if pace == "time":
            wait = begun + event["t"] - time.monotonic()
            if wait > 0:
                time.sleep(wait)
        on_event(event)
    print("END", flush=True)
    time.sleep(float(linger))


main(*sys.argv[1:])
