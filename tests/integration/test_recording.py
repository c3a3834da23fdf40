# SPDX-License-Identifier: Apache-2.0
"""The messages of a start and stop with three modules, compared with what EVerest's manager was seen to send."""

import collections
import json

import harness
from harness import SHARED, Prefix
from mqtt import Broker

MODULES = ["store", "example", "example_user"]

# The recording's configuration: config-example.yaml with a capability and without telemetry.
CONFIGURATION = {
    "store": {"module": "Store"},
    "example": {"module": "Example", "capabilities": ["CAP_NET_RAW"],
                "config_implementation": {"example": {"current": 42, "enum_test": "one", "enum_test2": 2}},
                "connections": {"kvs": [{"module_id": "store", "implementation_id": "main"}]}},
    "example_user": {"module": "ExampleUser",
                     "connections": {"example": [{"module_id": "example", "implementation_id": "example"}]}},
}


def load(line):
    """The recorder wrote an empty payload as nothing at all."""
    return json.loads(line.replace('"payload":}', '"payload":""}'))


def ours_to_compare(messages):
    """What manager and modules say to each other at start and stop; not what modules say among themselves."""
    return [one for one in messages if one["topic"].startswith("everest/") and "/impl/" not in one["topic"]]


class Message(collections.namedtuple("Message", "topic payload qos")):
    """Comparable: the payload is JSON in one spelling, or empty."""

    @classmethod
    def of(cls, topic, payload, qos):
        return cls(topic, "" if payload == "" else json.dumps(payload, sort_keys=True), qos)


def recorded():
    with open(SHARED / "everest-docs/recording-three-modules.jsonl", encoding="utf-8") as file:
        messages = [load(line) for line in file]
    # The first ones were retained from an earlier start.
    return [Message.of(one["topic"], one["payload"], one["qos"])
            for one in ours_to_compare(messages) if not one["retain"]]


def counted(messages):
    return sorted(collections.Counter(messages).items())


def without_metadata(messages):
    return [one.topic for one in messages if one.topic.startswith(("everest/modules/", "everest/config/"))]


@harness.needs_everest
class Recording(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.everest(self.scratch / "prefix")
        self.broker = Broker(self)
        self.raw = self.run_once()
        self.messages = [Message.of(one["topic"], self.parse(one["payload"]), one["qos"]) for one in self.raw]

    def parse(self, payload):
        """With our prefix called as the recording's was."""
        return json.loads(payload.replace(str(self.prefix.path), "/usr/local")) if payload else ""

    def run_once(self):
        observer = self.broker.observe("--retain-as-published")
        in_order = self.broker.observe("--in-order")
        config = self.prefix.configure(CONFIGURATION, run_as_user="everest", **self.broker.settings)
        manager = self.start(self.prefix, config)
        manager.wait_for("ALL_MODULES_STARTED")
        for module in MODULES:
            observer.report(module)
        self.assertEqual(manager.stop(), 0, manager)
        observer.fence()
        in_order.fence()
        self.in_order = [(one["topic"], one["payload"]) for one in ours_to_compare(in_order.messages())]
        return ours_to_compare(observer.messages())

    def position(self, topic, payload=None):
        return next(index for index, one in enumerate(self.messages)
                    if one.topic == topic and payload in (None, one.payload))

    def test_same_messages(self):
        self.assertEqual(counted(self.messages), counted(recorded()))

    def test_order(self):
        metadata = [one for one in self.messages if one.qos == 2 and not one.topic.startswith(
            ("everest/modules/", "everest/config/", "everest/ready"))]
        clears = [one for one in self.messages if one.payload == ""]
        expected = recorded()
        with self.subTest("the manager's own messages come in EVerest's order"):
            self.assertEqual(metadata, [one for one in expected if one in metadata])
            self.assertEqual(clears, [one for one in expected if one.payload == ""])
        with self.subTest("a module is answered when everything it will read is there"):
            first_answer = min(self.position(f"everest/modules/{module}/response") for module in MODULES)
            self.assertLess(max(map(self.messages.index, metadata)), first_answer)
        for module in MODULES:
            with self.subTest("each module asks, is answered, presents itself, is ready", module=module):
                said = [topic for topic in without_metadata(self.messages) if f"/{module}/" in topic]
                self.assertEqual(said, [f"everest/modules/{module}/{what}"
                                        for what in ("response", "metadata", "ready")])
                request = Message.of("everest/config/request", {
                    "msg_type": "ConfigurationRequest",
                    "data": {"type": "Get", "origin": module, "request": {"type": "Module"}}}, 2)
                self.assertLess(self.messages.index(request), self.position(f"everest/modules/{module}/response"))
        with self.subTest("all ready, then the clearing, then the global ready, then nothing"):
            topics = [topic for topic, _ in self.in_order]
            last_ready = max(topics.index(f"everest/modules/{module}/ready") for module in MODULES)
            self.assertEqual(self.in_order[last_ready + 1:-1], [(one.topic, "") for one in clears])
            self.assertEqual(topics[-1], "everest/ready")

    def test_retained(self):
        """Metadata and its clearing are retained, and nothing else is."""
        for one in self.raw:
            live = one["topic"].startswith(("everest/modules/", "everest/config/", "everest/ready"))
            self.assertEqual(one["retain"], not live, one)


if __name__ == "__main__":
    harness.main()
