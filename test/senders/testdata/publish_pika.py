"""Publishes the messages on stdin, one JSON object a line, until the broker has
confirmed each; what is confirmed is printed, by its message id.

    publish_pika.py URL [EXCHANGE]
"""

import json
import sys

import pika

url, exchange = sys.argv[1], (sys.argv[2:] or [""])[0]
# While the broker is away, connecting is tried again.
parameters = pika.URLParameters(url + "?connection_attempts=600&retry_delay=0.1&heartbeat=10")
lost = (pika.exceptions.AMQPError, pika.exceptions.NackError, pika.exceptions.UnroutableError, OSError)


def connect():
    while True:
        try:
            channel = pika.BlockingConnection(parameters).channel()
            channel.confirm_delivery()
            return channel
        except lost as err:
            print("connecting:", repr(err), file=sys.stderr)


def publish(channel, message):
    while True:
        try:
            channel.basic_publish(
                exchange,
                message["routing_key"],
                message["body"].encode(),
                pika.BasicProperties(
                    message_id=message.get("message_id"),
                    content_type=message.get("content_type", "application/json"),
                    headers=message.get("headers"),
                    delivery_mode=2,  # persistent
                ),
                mandatory=True,
            )
            return channel
        except lost as err:
            print("publishing:", repr(err), file=sys.stderr)
            channel = connect()


channel = connect()
for line in sys.stdin:
    message = json.loads(line)
    channel = publish(channel, message)
    print(message.get("message_id"), flush=True)
channel.connection.close()
