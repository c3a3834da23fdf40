# SPDX-License-Identifier: Apache-2.0
"""Parameters that are set at run time: what is answered, what is stored where, and what counts after the next start."""

import json
import os
import statistics
import time

import harness
from harness import Prefix, wait_until
from mqtt import Broker
from observer import envelope

REQUESTS = "everest/config/request"


class Parameters(harness.Case):
    """Modules `one` and `two`; `one` may do everything to `two`, and `two` nothing to `one`."""

    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()
        self.access = {"config": {"modules": {"two": {"allow_read": True, "allow_write": True}}}}

    def configure(self, **settings):
        self.config = self.prefix.configure({"one": {"module": "Thing", "access": self.access},
                                             "two": {"module": "Thing", "config_module": {"level": 16}}},
                                            **self.broker.settings, **settings)
        return self.config

    def give_overlay(self):
        """The directory of the overlay, to the user of the manager."""
        directory = self.config.parent / "user-config"
        directory.mkdir()
        os.chown(directory, self.everest.pw_uid, self.everest.pw_gid)
        return directory / self.config.name

    def run_manager(self, *options):
        before = self.observer.count("standin/two/report")
        manager = self.start(self.prefix, self.config, *options)
        manager.wait_for("ALL_MODULES_STARTED")
        wait_until(lambda: len(self.observer.messages("standin/two/report")) >= before + 2, lambda: str(manager))
        return manager

    @staticmethod
    def identifier(name, implementation=None, module="two"):
        result = {"module_id": module, "configuration_parameter_name": name}
        return result if implementation is None else {**result, "module_implementation_id": implementation}

    def set(self, value, *identifier, origin="two"):
        """The one answer, in short: status, set status, status_info."""
        topic = f"everest/modules/{origin}/response"
        before = self.observer.count(topic)
        answer = self.observer.ask({"type": "Set", "origin": origin, "request": {
            "value": value, "identifier": self.identifier(*identifier)}})
        self.assertEqual(self.observer.count(topic), before + 1, "exactly one answer")
        self.assertEqual(answer["type"], "Set")
        return answer["status"], answer["response"]["status"], answer["status_info"]

    def value(self, *identifier, origin="two"):
        answer = self.observer.ask({"type": "Get", "origin": origin, "request": {
            "type": "Value", "identifier": self.identifier(*identifier)}})
        return answer["response"]["data"]["value"]

    def told(self, module="two"):
        """What the module was told at its last start: name → value."""
        answers = [json.loads(one["payload"])["data"]["response"]
                   for one in self.observer.messages(f"everest/modules/{module}/response")]
        last = [one["data"]["module_config"] for one in answers if one and one.get("type") == "Module"][-1]
        return {one["name"]: one["value"] for values in last["configuration_parameters"].values() for one in values}

    def asked(self):
        """What `two` was asked to take."""
        messages = self.observer.messages("everest/modules/two/config/set_request")
        return [json.loads(one["payload"]) for one in messages]


class Overlay(Parameters):
    def test_value_is_stored_and_taken(self):
        self.configure(run_as_user="everest")
        overlay = self.give_overlay()
        manager = self.run_manager()
        self.assertEqual(self.set("17.5", "level"), ("Ok", "Accepted", ""))
        self.assertEqual(self.asked(), [{"msg_type": "ConfigurationRequest",
                                         "data": {"identifier": self.identifier("level"), "value": "17.5"}}])
        self.assertEqual(self.value("level"), 17.5)
        self.assertEqual(self.set("7", "speed", "main", origin="one"), ("Ok", "RebootRequired", ""))
        self.assertEqual(self.set("true \"\u00e9\"", "label"), ("Ok", "RebootRequired", ""))
        self.assertEqual((self.value("speed", "main"), self.value("label")), (3, "none"), "until the next start")
        self.assertEqual(len(self.asked()), 1, "read-only parameters are no matter of the running module")
        self.assertEqual(json.loads(overlay.read_text()), {"active_modules": {"two": {
            "config_module": {"level": 17.5, "label": "true \"\u00e9\""},
            "config_implementation": {"main": {"speed": 7}}}}})
        self.assertEqual(os.listdir(overlay.parent), [overlay.name], "nothing else is left there")
        self.assertEqual(manager.stop(), 0)
        self.run_manager()
        self.assertEqual(self.told(), {"level": 17.5, "label": "true \"\u00e9\"", "speed": 7})

    def test_every_character(self):
        """JSON allows more of them than YAML, and a file that cannot be read takes all other values with it."""
        self.configure(run_as_user="everest")
        self.give_overlay()
        odd = "".join(map(chr, range(1, 0xa1))) + "a\u2028 \u2029b\ud7ff\ue000\ufefe\ufeff\ufffd\ufffe\uffff\U0001f600"
        manager = self.run_manager()
        for value in ("\x7f", "\x80", "a\x85 b", "\ufeff", "\uffff", odd):
            self.assertEqual(self.set("17", "level"), ("Ok", "Accepted", ""))
            self.assertEqual(self.set(value, "label"), ("Ok", "RebootRequired", ""))
            self.assertEqual(self.set("18", "level"), ("Ok", "Accepted", ""), ascii(value))
            self.assertEqual(manager.stop(), 0)
            manager = self.run_manager()
            self.assertEqual(self.told(), {"level": 18.0, "label": value, "speed": 3})

    def test_it_stays_small(self):
        """Each change reads and writes all of it."""
        self.configure(run_as_user="everest")
        self.give_overlay()
        manager = self.run_manager()
        large = "x" * 1_000_000
        self.assertEqual(self.set(large, "label"), ("Ok", "RebootRequired", ""))
        self.assertEqual(self.set(large, "label", None, "one", origin="one")[1], "Rejected")
        manager.wait_for_log("would become larger than 2 MB")
        self.assertEqual(self.set("17", "level"), ("Ok", "Accepted", ""))

    def test_large_ones_that_wait(self):
        """Of changes that wait for a silent module, a number of bytes is kept."""
        self.configure(run_as_user="everest")
        self.give_overlay()
        self.prefix.behave(two={"set": "silence"})
        self.run_manager()
        request = {"type": "Set", "origin": "one", "request": {"value": "18".rjust(1_000_000),
                                                               "identifier": self.identifier("level")}}
        for _ in range(18):
            self.observer.publish(REQUESTS, envelope("ConfigurationRequest", request))
        answer = self.observer.wait("everest/modules/one/response", accept=lambda one: "Too many" in one["payload"])
        self.assertEqual(json.loads(answer["payload"])["data"]["response"]["status"], "Rejected")

    def test_refusals_store_nothing(self):
        self.configure(run_as_user="everest")
        overlay = self.give_overlay()
        self.run_manager()
        for value, *identifier in (("high", "level"), ("", "level"), ("1e999", "level"), ("12 apples", "level"),
                                   ("nan", "level"), ("2.5", "speed", "main"), ("4294967296", "speed", "main"),
                                   ("-1", "level"), ("a\0b", "label")):
            self.assertEqual(self.set(value, *identifier)[:2], ("Ok", "Rejected"), value)
        self.assertEqual(self.set("5", "levle"), ("Error", "Rejected", "Config parameter levle not found in module two"))
        self.assertEqual(self.set("5", "level", None, "one")[:2], ("AccessDenied", "Rejected"))
        self.assertEqual(self.set("5", "level", None, "nobody")[:2], ("AccessDenied", "Rejected"))
        self.assertFalse(overlay.exists())
        self.assertEqual(self.asked(), [])

    def test_what_is_there_stays(self):
        self.configure(run_as_user="everest")
        overlay = self.give_overlay()
        overlay.write_text("active_modules: {one: {config_module: {level: 2}}}\n")
        overlay.chmod(0o640)
        os.chown(overlay, self.everest.pw_uid, self.everest.pw_gid)
        self.run_manager()
        self.assertEqual(self.set("3", "level"), ("Ok", "Accepted", ""))
        self.assertEqual(json.loads(overlay.read_text()), {
            "active_modules": {"one": {"config_module": {"level": 2}}, "two": {"config_module": {"level": 3.0}}}})
        self.assertEqual(overlay.stat().st_mode & 0o777, 0o640)
        overlay.write_text("active_modules: [")
        self.assertEqual(self.set("4", "level"), ("Ok", "Rejected", "Failed to persist change"))
        self.assertEqual(overlay.read_text(), "active_modules: [", "what cannot be read is not overwritten")

    def test_where_it_cannot_be_written(self):
        self.configure(run_as_user="everest")
        manager = self.run_manager()
        self.assertEqual(self.set("3", "level"), ("Ok", "Rejected", "Failed to persist change"))
        manager.wait_for_log("install -d -o")
        self.assertEqual((self.value("level"), self.asked()), (16.0, []))

    def test_where_it_was_meant_to_be_written(self):
        self.configure(run_as_user="everest")
        (self.prefix.configs / "user-config").mkdir()
        self.run_manager().wait_for_log("parameters cannot be changed at run time")

    def test_what_the_module_says(self):
        cases = (("RebootRequired", ""), ("Rejected", "Runtime change rejected by module"),
                 ("Error", "Module not responding"))
        self.configure(run_as_user="everest")
        self.give_overlay()
        for number, (behaviour, info) in enumerate(cases):
            self.prefix.behave(two={"set": behaviour})
            manager = self.run_manager()
            self.assertEqual(self.set(str(20 + number), "level"), ("Ok", "RebootRequired", info), behaviour)
            self.assertEqual(self.value("level"), self.told()["level"], "it counts from the next start")
            self.assertEqual(manager.stop(), 0)
        self.prefix.behave(two={})
        self.run_manager()
        self.assertEqual(self.told()["level"], 22.0)

    def test_silent_module(self):
        """It is asked twice; others get their answers meanwhile; and who waits is not forgotten when all stop."""
        self.configure(run_as_user="everest")
        self.give_overlay()
        self.prefix.behave(two={"set": "silence"})
        manager = self.run_manager()
        begin = time.monotonic()
        topic = "everest/modules/one/response"
        before = self.observer.count(topic)
        request = {"type": "Set", "origin": "one", "request": {"value": "18", "identifier": self.identifier("level")}}
        self.observer.publish(REQUESTS, envelope("ConfigurationRequest", request))
        self.observer.wait("everest/modules/two/config/set_request")
        self.assertEqual(self.value("level"), 16.0)
        self.assertLess(time.monotonic() - begin, 4)
        answer = json.loads(self.observer.wait(topic, before + 1)["payload"])["data"]
        self.assertEqual((answer["response"]["status"], answer["status_info"]),
                         ("RebootRequired", "Module not responding"))
        self.assertGreater(time.monotonic() - begin, 9.5)
        self.assertEqual(len(self.asked()), 2)
        for value in ("19", "20"):
            request["request"]["value"] = value
            self.observer.publish(REQUESTS, envelope("ConfigurationRequest", request))
        self.observer.wait("everest/modules/two/config/set_request", 3)
        self.value("level")  # by then it has both
        self.assertEqual(manager.stop(), 0)
        self.observer.fence()
        answers = [json.loads(one["payload"])["data"]["response"]["status"]
                   for one in self.observer.messages(topic)[before + 1:]]
        self.assertEqual(answers, ["RebootRequired", "Rejected"])

    def test_forged_responses(self):
        self.configure(run_as_user="everest")
        self.give_overlay()
        manager = self.run_manager()
        for payload in ("", "[]", "{", "null", envelope("ModuleReady", True), envelope("ConfigurationResponse", 3)):
            self.observer.publish("everest/modules/two/config/set_response", payload)
        accepted = {"status": "Ok", "status_info": "", "type": "Set", "response": {"status": "Accepted"}}
        for module in ("two", "nobody"):
            self.observer.publish(f"everest/modules/{module}/config/set_response",
                                  envelope("ConfigurationResponse", accepted))
        self.assertEqual(self.value("level"), 16.0)
        self.assertEqual(self.set("3", "level"), ("Ok", "Accepted", ""))
        self.assertEqual(manager.stop(), 0)

    def test_without_run_as_user(self):
        self.configure()
        self.run_manager()
        self.assertEqual(self.set("3", "level"), ("Ok", "Accepted", ""))
        overlay = self.config.parent / "user-config" / self.config.name
        self.assertEqual(json.loads(overlay.read_text()), {"active_modules": {"two": {"config_module": {"level": 3.0}}}})


class Crowd(harness.Case):
    """All ask at once, again and again: exactly one answer each. The figures are printed, not judged."""

    MODULES = [f"m{number}" for number in range(27)]

    def setUp(self):
        super().setUp()
        prefix = Prefix.small(self.scratch / "prefix")
        broker = Broker(self)
        self.observer = broker.observe()
        access = {"config": {"allow_global_read": True}}
        config = prefix.configure({one: {"module": "Thing", "access": access} for one in self.MODULES},
                                  run_as_user="everest", **broker.settings)
        directory = self.scratch / "data"
        directory.mkdir()
        os.chown(directory, self.everest.pw_uid, self.everest.pw_gid)
        self.start(prefix, config, "--db", directory / "everest.db").wait_for("ALL_MODULES_STARTED")
        for one in self.MODULES:
            self.observer.report(one)

    def measure(self, what, rounds, request):
        answers = {one: f"everest/modules/{one}/response" for one in self.MODULES}
        before = {one: self.observer.count(topic) for one, topic in answers.items()}
        seconds = []
        for number in range(rounds):
            for one in self.MODULES:
                self.observer.publish(REQUESTS, envelope("ConfigurationRequest", {"origin": one, **request(one, number)}))
            last = {one: self.observer.wait(topic, before[one] + number + 1) for one, topic in answers.items()}
            asked = self.observer.messages(REQUESTS)[-len(self.MODULES):]
            sent = {json.loads(one["payload"])["data"]["origin"]: one["received"] for one in asked}
            seconds += [last[one]["received"] - sent[one] for one in self.MODULES]
            for one in self.MODULES:
                self.assertEqual(json.loads(last[one]["payload"])["data"]["status"], "Ok")
        self.observer.fence()
        for one, topic in answers.items():
            self.assertEqual(len(self.observer.messages(topic)), before[one] + rounds, one)
        cuts = statistics.quantiles(seconds, n=100)
        print(f"{what}: {len(seconds)} answers, median {cuts[49] * 1000:.1f} ms, 99 % within {cuts[98] * 1000:.1f} ms, "
              f"slowest {max(seconds) * 1000:.1f} ms")

    def test_reading(self):
        self.measure("everything is read", 20, lambda one, number: {"type": "Get", "request": {"type": "All"}})

    def test_changing(self):
        self.measure("a value is stored and taken", 5, lambda one, number: {"type": "Set", "request": {
            "value": str(number), "identifier": {"module_id": one, "configuration_parameter_name": "level"}}})


if __name__ == "__main__":
    harness.main()
