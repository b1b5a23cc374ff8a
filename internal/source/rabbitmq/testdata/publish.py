"""Publishes 100 events as a plain program with pika does: publish.py URL QUEUE."""
import json
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
channel = connection.channel()
channel.queue_declare(queue=sys.argv[2], durable=True)
for i in range(100):
    body = json.dumps({
        "event_type": "interface_down",
        "device": f"switch-{i:03d}",
        "interface": "Eth1/1",
        "timestamp": 1640000000,
    })
    channel.basic_publish(
        exchange="",
        routing_key=sys.argv[2],
        body=body,
        properties=pika.BasicProperties(delivery_mode=2, message_id=f"pika-{i}"),
    )
connection.close()
