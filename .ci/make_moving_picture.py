"""Make docs/ownership.webp anew from a real run: who owns what while members come and go.

    uv run python .ci/make_moving_picture.py

The words for who does not see it stand in README.md beside it.
"""

import io
import json
import time
from contextlib import closing
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer
from PIL import Image

from lab_env import Lab, flights

FILE = Path(__file__).parent.parent / "docs" / "ownership.webp"
WIDTH = 900  # pixels: a page of a repository shows no more
PERIOD = 0.4  # s between frames, in the run
FASTER = 2.5  # so many times as fast it is shown
LINGER_MS = 3000  # the last frame


def gate(service, topic, group):
    own = {"group_id": group, "client_id": service.name, "auto_offset_reset": "earliest"}
    own |= {"enable_auto_commit": False, "heartbeat_interval_ms": 300, "session_timeout_ms": 4000}
    connection = service.settings["connection"]
    with closing(KafkaConsumer(topic, **connection, **own)) as consumer:
        while service.running:
            batch = consumer.poll(timeout_ms=500, max_records=5)
            for _ in (record for records in batch.values() for record in records):
                service.wait(0.04)
            if batch:
                consumer.commit()


def operations(service, topic, events):
    with closing(KafkaProducer(**service.settings["connection"])) as producer:
        for event in flights.replay(events, 40):
            if not service.running:
                return
            key = event["tail_number"].encode()
            producer.send(topic, json.dumps(event).encode(), key=key)


def main() -> None:
    """Run the story, and keep a frame of the picture every now and then."""
    table = flights.table(month=1).dropna(subset=["tailnum", "departed"])
    events = flights.events(table.head(4000), "departed")
    frames: list[bytes] = []
    with Lab("embedded") as lab:
        given = {"settings": {"connection": lab.connection}}
        topic, group = lab.topic("flights.departed", partitions=6), lab.group("gates")
        picture = lab.show.ownership(topic, group)

        def film(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if not frames or picture.png != frames[-1]:
                    frames.append(picture.png)
                time.sleep(PERIOD)

        lab.service(operations, topic, events, name="operations", **given)
        lab.service(gate, topic, group, name="gate-1", **given)
        film(6)
        lab.service(gate, topic, group, name="gate-2", **given)
        lab.service(gate, topic, group, name="gate-3", **given)
        film(7)
        lab.services["gate-2"].crash()
        film(9)
        lab.service(gate, topic, group, name="gate-2", **given)
        film(5)
        told = picture.sentence
    images = [Image.open(io.BytesIO(frame)).convert("RGB") for frame in frames]
    height = round(images[0].height * WIDTH / images[0].width)
    small = [one.resize((WIDTH, height), Image.Resampling.LANCZOS) for one in images]
    durations = [round(1000 * PERIOD / FASTER)] * (len(small) - 1) + [LINGER_MS]
    film = {"save_all": True, "append_images": small[1:], "duration": durations, "loop": 0}
    small[0].save(FILE, quality=70, method=6, **film)
    print(f"{FILE}: {len(small)} frames, {FILE.stat().st_size / 1000:.0f} kB. {told}")


if __name__ == "__main__":
    main()
