"""Consumes messages as asyncio services commonly do: one handler a message,
acknowledged when it is done. Prints the seconds from the first message to the
last acknowledgement.

    aiopika_consumer.py URL QUEUE NUMBER
"""

import asyncio
import json
import sys
import time

import aio_pika


def handle_interface_down(event):
    return f"{event['device']} {event['interface']} is down"


HANDLERS = {"interface_down": handle_interface_down}


async def main(url, queue_name, number):
    connection = await aio_pika.connect_robust(url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=512)
        queue = await channel.get_queue(queue_name)
        begun, done = None, 0
        async with queue.iterator() as messages:
            async for message in messages:
                begun = begun or time.monotonic()
                async with message.process():
                    event = json.loads(message.body)
                    HANDLERS[event["event_type"]](event)
                done += 1
                if done == number:
                    break
        print(f"{time.monotonic() - begun:.6f}")


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
