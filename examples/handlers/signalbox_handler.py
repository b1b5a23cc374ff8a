"""The loop between Signalbox and handlers in Python. Standard library only.

    from signalbox_handler import serve

    def interface_down(event):
        return {"ticket": "NET-" + event["device"]}

    serve({"interface_down": interface_down})

A handler gets the event as a dict (CloudEvents: type, device, interface, time,
data, ...). What it returns is "json" of what the step registers in its rule. An
exception fails the step for good, and Recoverable lets the rule try again. A handler that takes two
arguments gets the request as well: run, rule, step, attempt, key, args, and
events: all events that made up what the rule found, where there is more than one.

Signalbox sends one request a line, and waits for the answer before it sends
the next. stdout belongs to that: print() goes to stderr here, which is in
Signalbox's log.
"""

import inspect
import json
import sys
import traceback


class Recoverable(Exception):
    """Another attempt may help, not before `after` seconds have gone by."""

    def __init__(self, message, after=0):
        super().__init__(message)
        self.after = after


def find(handlers, event_type):
    """The handler of a type: the type itself, then the longest "prefix*"."""
    if event_type in handlers:
        return handlers[event_type]
    fits = [p for p in handlers if p.endswith("*") and event_type.startswith(p[:-1])]
    return handlers[max(fits, key=len)] if fits else None


def call(handlers, request):
    """The answer to one request."""
    answer = {"id": request["id"], "ok": False}
    event = request["event"]
    handler = find(handlers, event["type"])
    if handler is None:
        answer["error"] = "no handler for event type " + repr(event["type"])
        return answer
    try:
        wants_request = len(inspect.signature(handler).parameters) > 1
        output = handler(event, request) if wants_request else handler(event)
        json.dumps(output)  # fails here, as an error of the handler
    except Recoverable as e:
        answer.update(error=str(e), recoverable=True, retry_after=e.after)
    except Exception as e:
        traceback.print_exc(file=sys.stderr)
        answer["error"] = type(e).__name__ + ": " + str(e)
    else:
        answer.update(ok=True, output=output)
    return answer


def serve(handlers):
    """Answer requests until Signalbox closes stdin."""
    out, sys.stdout = sys.stdout, sys.stderr
    out.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    for line in sys.stdin:
        out.write(json.dumps(call(handlers, json.loads(line))) + "\n")
        out.flush()
