"""Publishes the messages on stdin, one JSON object a line, until the broker has
confirmed each; what is confirmed is printed, by its message id.

    publish_aio_pika.py URL [EXCHANGE]
"""

import asyncio
import json
import sys

import aio_pika

url, exchange_name = sys.argv[1], (sys.argv[2:] or [""])[0]
lost = (aio_pika.exceptions.AMQPException, asyncio.TimeoutError, OSError, RuntimeError)


async def connect():
    while True:
        try:
            connection = await aio_pika.connect(url, timeout=5)
            channel = await connection.channel(publisher_confirms=True)
            if exchange_name:
                return connection, await channel.get_exchange(exchange_name)
            return connection, channel.default_exchange
        except lost as err:
            print("connecting:", repr(err), file=sys.stderr)
            await asyncio.sleep(0.1)


async def main():
    connection, exchange = await connect()
    for line in sys.stdin:
        message = json.loads(line)
        while True:
            try:
                await exchange.publish(
                    aio_pika.Message(
                        message["body"].encode(),
                        message_id=message.get("message_id"),
                        content_type=message.get("content_type", "application/json"),
                        headers=message.get("headers"),
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    message["routing_key"],
                    mandatory=True,
                    timeout=5,
                )
                break
            except lost as err:
                print("publishing:", repr(err), file=sys.stderr)
                connection, exchange = await connect()
        print(message.get("message_id"), flush=True)
    await connection.close()


asyncio.run(main())
