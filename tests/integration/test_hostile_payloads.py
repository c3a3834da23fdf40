# SPDX-License-Identifier: Apache-2.0
"""Whoever reaches the broker can send anything. The manager survives it, answers the others, and keeps its log
short."""

import json
import time

import harness
from harness import START, STOP, Prefix
from mqtt import Broker
from observer import envelope

REQUESTS = "everest/config/request"
VALUE = {"type": "Get", "origin": "one", "request": {"type": "Value", "identifier": {
    "module_id": "one", "configuration_parameter_name": "level"}}}
LISTENED = [REQUESTS, "everest/modules/one/ready", "everest/modules/two/ready"]
DEEP = 100_000

GARBAGE = [
    b"", b"\0", b"\xff\xfe\xfd", b"\xc3\x28", b'{"msg_type": "\xed\xa0\x80"}', bytes(range(256)), b"null", b"true",
    b"0", b'""', b"[]", b"{}", b"{", b'"', b"-", b"1e999", b"1" * 400, b"[" * DEEP, b'{"a":' * DEEP,
    b"[" * DEEP + b"]" * DEEP, b'{"msg_type":"ConfigurationRequest","data":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b"x" * 1_000_000, b'{"msg_type":"ConfigurationRequest","data":"' + b"x" * 1_000_000 + b'"}',
    b"[" + b"1," * 500_000 + b"1]",
    b'{"msg_type":"' + b"M" * 10_000 + b'","data":{}}', b"x" * 3_000_000, b'{"type":"full"}', b"NaN", b"\xef\xbb\xbf{}",
    b'{"msg_type":"ConfigurationRequest"}', b'{"msg_type":"ModuleReady"}', b'{"msg_type":"ModuleReady","data":false}',
    b'{"msg_type":"ModuleReady","data":"true"}', b'{"msg_type":"GlobalReady","data":true}',
    b'{"msg_type":"ConfigurationRequest","msg_type":5,"data":{},"data":[]}',
]

ODD_VALUES = [None, True, -1, 1.5, 2**70, "", "x", "one/../two", "#", "+", "\0", "\u202e", "y" * 5000, [], [None], [[]],
              {}, {"": ""}, {"type": {"type": "type"}}]


def paths(value, path=()):
    """The path of `value` and of everything in it."""
    yield path
    if isinstance(value, dict):
        for key, member in value.items():
            yield from paths(member, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    return {**value, path[0]: replaced(value[path[0]], path[1:], new)}


def removed(value, path):
    if len(path) == 1:
        return {key: member for key, member in value.items() if key != path[0]}
    return {**value, path[0]: removed(value[path[0]], path[1:])}


def variants(message):
    """`message` with each of its members missing or odd."""
    for path in paths(message):
        if path:
            yield removed(message, path)
        for odd in ODD_VALUES:
            yield replaced(message, path, odd)


def answerable(message):
    """Whether wire-protocol.md §4.2 owes an answer to the module `one`."""
    return (isinstance(message, dict) and message.get("msg_type") == "ConfigurationRequest"
            and isinstance(message.get("data"), dict) and message["data"].get("origin") == "one")


class Hostile(harness.Case):
    def setUp(self):
        super().setUp()
        prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()
        config = prefix.configure({"one": "Thing", "two": "Thing"}, run_as_user="everest", **self.broker.settings)
        self.manager = self.start(prefix, config)
        self.manager.wait_for("ALL_MODULES_STARTED")
        for module in ("one", "two"):
            self.observer.report(module)
        self.log_before = self.manager.log

    def check_survival(self, most_lines):
        """When it has seen all, it answers within a second; it has logged `most_lines` at most, and stops as ever."""
        self.observer.ask(VALUE)
        begin = time.monotonic()
        answer = self.observer.ask(VALUE, timeout=5)
        self.assertLess(time.monotonic() - begin, 1)
        self.assertEqual((answer["status"], answer["response"]["data"]["value"]), ("Ok", 1.0))
        new_log = self.manager.log[len(self.log_before):]
        self.assertLessEqual(len(new_log.splitlines()), most_lines, new_log)
        self.assertTrue(new_log.isascii(), new_log)
        self.assertLess(max(map(len, new_log.splitlines()), default=0), 500)
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assert_nothing_left(self.manager, self.broker)

    def responses(self, module):
        return self.observer.messages(f"everest/modules/{module}/response")

    def test_garbage(self):
        for payload in GARBAGE:
            for topic in LISTENED:
                self.observer.publish(topic, payload)
        # The first of its kind is in the log.
        self.manager.wait_for_log(f"ignored a message on {REQUESTS}: it is not JSON")
        self.check_survival(20)
        self.assertEqual(self.manager.status(), START + STOP)

    def test_every_member_odd_or_missing(self):
        messages = [*variants(json.loads(envelope("ConfigurationRequest", VALUE))),
                    *variants(json.loads(envelope("ConfigurationRequest", {
                        "type": "Set", "origin": "one", "request": {"value": "1", **VALUE["request"]}})))]
        for message in messages:
            self.observer.publish(REQUESTS, json.dumps(message))
        expected = sum(map(answerable, messages))
        self.assertGreater(expected, 100)
        start_up = 1
        self.observer.wait("everest/modules/one/response", start_up + expected)
        self.assertEqual(self.observer.ask(VALUE)["status"], "Ok")
        self.observer.fence()
        self.assertEqual(len(self.responses("one")), start_up + expected + 1)
        self.check_survival(20)

    def test_forged_readiness(self):
        """Of modules that do not exist, or that say something else; none of it starts anything again."""
        for name in ("nobody", "one/two", "*", "..", "manager", " "):
            self.observer.publish(f"everest/modules/{name}/ready", envelope("ModuleReady", True))
        for data in ODD_VALUES:
            if data is not True:
                self.observer.publish("everest/modules/one/ready", envelope("ModuleReady", data))
        self.check_survival(10)
        self.assertEqual(self.manager.status(), START + STOP)

    def test_ready_again(self):
        """wire-protocol.md §3: the announcement is repeated."""
        self.observer.publish("everest/modules/one/ready", envelope("ModuleReady", True))
        self.observer.wait("everest/ready", 2)
        self.manager.send(harness.signal.SIGINT)
        self.assertEqual(self.manager.wait(), 0, self.manager)
        self.assertEqual(self.manager.status(), START + ["ALL_MODULES_STARTED"] + STOP)

    def flood(self, topic, payload, qos=0, count=10_000):
        for _ in range(count):
            self.observer.publish(topic, payload, qos)
        self.observer.fence(60)

    def test_flood_of_garbage(self):
        for topic in LISTENED[:2]:
            self.flood(topic, "x", count=5_000)
        self.check_survival(20)

    def test_flood_of_requests(self):
        """Each is answered, with QoS 2, which is more messages in flight than the broker allows for by itself."""
        before = len(self.responses("two"))
        self.flood(REQUESTS, envelope("ConfigurationRequest", {"type": "Get", "origin": "two",
                                                               "request": {"type": "AllMappings"}}), qos=2)
        self.observer.wait("everest/modules/two/response", before + 10_000)
        self.check_survival(10)

    def test_flood_of_refused_requests(self):
        self.flood(REQUESTS, envelope("ConfigurationRequest", {"type": "Get", "origin": "nobody", "request": {}}))
        self.check_survival(10)

    def test_flood_of_readiness(self):
        begin = time.monotonic()
        self.flood("everest/modules/one/ready", envelope("ModuleReady", True))
        self.check_survival(10)
        announcements = self.observer.count("everest/ready")
        self.assertGreater(announcements, 1)
        self.assertLess(announcements, 3 + (time.monotonic() - begin) * 10)
        self.assertEqual(self.manager.status(), START + ["ALL_MODULES_STARTED"] * (announcements - 1) + STOP)


class Requests(harness.Case):
    """The configuration service, as wire-protocol.md §4 has it: exactly one answer to each request."""

    ACCESS = {"config": {"modules": {"two": {"allow_read": True, "allow_set_read_only": True}}}}

    def setUp(self):
        super().setUp()
        prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()
        config = prefix.configure({
            "one": {"module": "Thing", "access": self.ACCESS, "mapping": {"module": {"evse": 1}}},
            "two": {"module": "Thing", "config_module": {"level": 16, "label": "second"}},
            "three": {"module": "Thing", "access": {"config": {"allow_global_read": True}}}},
            run_as_user="everest", **self.broker.settings)
        self.manager = self.start(prefix, config)
        self.manager.wait_for("ALL_MODULES_STARTED")
        for module in ("one", "two", "three"):
            self.observer.report(module)

    def ask(self, kind, origin, request):
        """The one answer."""
        topic = f"everest/modules/{origin}/response"
        before = self.observer.count(topic)
        answer = self.observer.ask({"type": kind, "origin": origin, "request": request})
        self.assertEqual(self.observer.count(topic), before + 1)
        self.assertIn("status_info", answer)
        return answer

    @staticmethod
    def identifier(module, parameter, implementation=None):
        result = {"module_id": module, "configuration_parameter_name": parameter}
        return result if implementation is None else {**result, "module_implementation_id": implementation}

    def value(self, origin, *identifier):
        return self.ask("Get", origin, {"type": "Value", "identifier": self.identifier(*identifier)})

    def set(self, origin, value, *identifier):
        return self.ask("Set", origin, {"value": value, "identifier": self.identifier(*identifier)})

    def test_module(self):
        answer = self.ask("Get", "two", {"type": "Module"})
        self.assertEqual((answer["status"], answer["status_info"], answer["type"]), ("Ok", "", "Get"))
        module = answer["response"]["data"]["module_config"]
        self.assertEqual((module["module_id"], module["module_name"]), ("two", "Thing"))
        self.assertEqual([one["value"] for one in module["configuration_parameters"]["!module"]], ["second", 16.0])

    def test_all(self):
        readable = {"one": ["one", "two"], "two": ["two"], "three": ["one", "three", "two"]}
        for origin, modules in readable.items():
            answer = self.ask("Get", origin, {"type": "All"})
            self.assertEqual((answer["status"], answer["type"], answer["response"]["type"]), ("Ok", "Get", "All"))
            self.assertEqual(sorted(answer["response"]["data"]), modules)
        shown = self.ask("Get", "one", {"type": "All"})["response"]["data"]
        mutability = {module: {one["name"]: one["characteristics"]["mutability"]
                               for one in shown[module]["!module"]} for module in shown}
        self.assertEqual(mutability, {"one": {"label": "ReadOnly", "level": "ReadWrite"},
                                      "two": {"label": "ReadWrite", "level": "ReadWrite"}})

    def test_all_mappings(self):
        answer = self.ask("Get", "three", {"type": "AllMappings"})
        self.assertEqual(answer["response"], {"type": "AllMappings", "data": {
            "one": {"module": {"evse": 1}}, "two": None, "three": None}})
        self.assertEqual(self.ask("Get", "two", {"type": "AllMappings"})["response"]["data"], {"two": None})

    def test_value(self):
        own = self.value("two", "two", "level")
        self.assertEqual((own["status"], own["type"]), ("Ok", "Get"))
        self.assertEqual(own["response"], {"type": "Value", "data": {
            "name": "level", "value": 16.0, "characteristics": {"datatype": "number", "mutability": "ReadWrite"}}})
        self.assertEqual(self.value("one", "two", "label")["response"]["data"]["value"], "second")
        self.assertEqual(self.value("three", "two", "speed", "main")["response"]["data"]["value"], 3)
        self.assertEqual(self.value("two", "two", "label", "!module")["response"]["data"]["value"], "second")

    def test_denied(self):
        answer = self.value("two", "one", "level")
        self.assertEqual((answer["status"], answer["type"], answer["response"]),
                         ("AccessDenied", "Get", {"type": "Value", "data": None}))
        # Reading is not writing.
        for origin in ("one", "three"):
            answer = self.set(origin, "5", "two", "level")
            self.assertEqual((answer["status"], answer["type"], answer["response"]["status"]),
                             ("AccessDenied", "Set", "Rejected"))

    def test_unknown_parameter(self):
        for identifier in (("two", "levle"), ("two", "level", "main"), ("two", "speed"), ("two", "speed", "nowhere"),
                           ("two", "speed", "")):
            answer = self.value("two", *identifier)
            self.assertEqual((answer["status"], answer["type"], answer["response"]),
                             ("Error", "Get", {"type": "Value", "data": None}), identifier)
        self.assertEqual(self.value("three", "nobody", "level")["status"], "Error")
        answer = self.set("two", "5", "two", "levle")
        self.assertEqual((answer["status"], answer["response"]["status"]), ("Error", "Rejected"))

    def test_unknown_origin(self):
        answer = self.ask("Get", "nobody", {"type": "All"})
        self.assertEqual((answer["status"], answer["response"]), ("Error", None))
        self.assertNotIn("type", answer)
        self.assertIn("nobody", answer["status_info"])

    def test_unknown_request(self):
        for kind, request in (("Get", {"type": "Everything"}), ("Get", {}), ("Put", {"type": "All"}), ("Set", {})):
            answer = self.ask(kind, "two", request)
            self.assertEqual((answer["status"], answer["response"]), ("Error", None), request)
            self.assertNotIn("type", answer)


if __name__ == "__main__":
    harness.main()
