"""Event handlers as a dict: event type -> function. Change it to your needs."""

from signalbox_handler import Recoverable, serve


def interface_down(event):
    print("interface down on", event["device"])  # in Signalbox's log
    return {"summary": "%s %s is down" % (event["device"], event.get("interface", "?"))}


def bgp_neighbor_down(event):
    return {"summary": "BGP neighbor %s of %s is down" % (event["data"]["neighbor"], event["device"])}


def config_change(event, request):
    if request["attempt"] == 1 and request["args"].get("busy_at_first"):
        raise Recoverable("the configuration archive is busy", after=1)
    return {"archived": True, "key": request["key"]}


EVENT_HANDLERS = {
    "interface_down": interface_down,
    "bgp_neighbor_down": bgp_neighbor_down,
    "config_change": config_change,
    "hardware_*": lambda event: {"summary": "hardware of " + event["device"]},
}

if __name__ == "__main__":
    serve(EVENT_HANDLERS)
