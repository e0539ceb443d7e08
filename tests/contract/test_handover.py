# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_handover. No guest runs here: a thread of the test answers in the place of every VM's appliance."""

from __future__ import annotations

import base64
import threading

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import flower_settings
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.errors import OpenNebulaError
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.services import Service
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.session import Session
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.template_text import render_template

from tests.contract.contract_run import PREFIX, clients

pytestmark = pytest.mark.usefixtures("clean")
CA = settings.format_pem(b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(b"of a test") + b"\n-----END CERTIFICATE-----\n")
VALUES = {settings.SUPERLINK_ADDRESS: "10.0.0.5:9092", settings.CA_CERTIFICATE: CA}
NUMBERS = "0-1,4"


class Killed(BaseException):
    """The run's process is gone: nothing catches it."""


class Appliances:
    """Plays the appliance in every VM of the test's services, and remembers how the site was while it did."""

    def __init__(self, zone) -> None:
        self._oned, self._flow = clients(zone)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self.seen: list[dict[int, str]] = []
        self.broken = False
        self.error: Exception | None = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._end.set()
        self._thread.join()

    def _play(self) -> None:
        while not self._end.wait(0.02):
            try:
                self._round()
            except OpenNebulaError:  # a service or VM went while it was read
                continue
            except Exception as error:
                self.error = error
                raise

    def _round(self) -> None:
        ready: dict[int, str] = {}
        for document in self._flow.services():
            if PREFIX not in document["NAME"]:
                continue
            service = Service.from_document(document)
            vms = {number: self._oned.vm(number) for number in service.vm_ids}
            held = {str(vm["USER_TEMPLATE"].get(attributes.PARTITION, "")) for vm in vms.values()}
            for number, vm in vms.items():
                if vm["STATE"] == "6":
                    continue
                own = {**vm["TEMPLATE"]["CONTEXT"], **vm["USER_TEMPLATE"]}
                partition = str(own.get(attributes.PARTITION, ""))
                free = [one for one in settings.parse_numbers(own[settings.PARTITIONS]) if str(one) not in held]
                if not partition and free:
                    partition = str(free[0])
                    held.add(partition)
                digest = settings.digest(settings.SUPERNODE, own)
                told = {attributes.PARTITION: partition, attributes.SETTINGS_DIGEST: digest, attributes.READY: "YES"}
                # OneFlow overlooks one that is ready before it waits for it, which no real guest is: it is told again.
                news = service.state != "RUNNING" or any(own.get(name) != value for name, value in told.items())
                if partition and not self.broken and news:
                    self._oned.vm_update(number, render_template(told))
                if own.get(attributes.READY) == "YES":
                    ready[number] = partition
        self.seen.append(ready)

    def check(self, at_least: int) -> None:
        """No two VMs had one number at any time, and never were fewer than this many at work."""
        assert self.error is None and self.seen
        for ready in self.seen:
            assert len(set(ready.values())) == len(ready) >= at_least, (ready, self.seen)


@pytest.fixture
def appliances(target, monkeypatch):
    monkeypatch.setattr(flower_settings, "INTERVAL", 0.1)
    with Appliances(target.a) as found:
        yield found


@pytest.fixture
def site(run, name, target, appliances):
    """Make a training site of three VMs as the federation's roles do, then change what new VMs are made of."""
    made_of(run, name, target, "first")
    inputs = {**VALUES, settings.PARTITIONS: NUMBERS}
    roles = [{"name": settings.SUPERNODE, "cardinality": 3, "user_inputs_values": inputs}]
    made = run("oneflow_service", name=name("s"), template_name=name("s"), roles=roles)
    made_of(run, name, target, "second")
    return made["service"]


def made_of(run, name, target, note) -> None:
    role = {
        "name": settings.SUPERNODE,
        "template_id": target.a.vm_template,
        "cardinality": 3,
        "cooldown": 0,
        "user_inputs": settings.user_inputs(settings.SUPERNODE),
        "template_contents": {"NOTE": note},
    }
    run("oneflow_template", name=name("s"), template={"ready_status_gate": True, "roles": [role]})


def options(name, source, **more):
    return {
        "source": source["id"],
        "target": name("s next"),
        "name": name("s"),
        "template_name": name("s"),
        "supernodes": 3,
        "user_inputs_values": VALUES,
        "values": VALUES,
        "partitions": NUMBERS,
        "wait_timeout": 60,
        "failures_before": {},
        **more,
    }


def there(run, oned, name) -> dict[str, list[tuple[str, str]]]:
    """Return (note, partition) of each VM of the site's services, by the service's name."""
    found = {}
    for called in (name("s"), name("s next")):
        for service in run("oneflow_service_info", name=called)["services"]:
            vms = [oned.vm(node["vm_id"])["USER_TEMPLATE"] for node in service["roles"][0]["nodes"]]
            found[called] = sorted((vm["NOTE"], vm[attributes.PARTITION]) for vm in vms)
    return found


WHOLE = [("second", "0"), ("second", "1"), ("second", "4")]


def test_one_at_a_time_with_the_numbers_that_became_free(run, twice, oned, name, site, appliances):
    appliances.seen.clear()
    done = twice("flower_handover", **options(name, site))
    whole = {name("s"): ["0", "1", "4"]}
    assert done["made"] == 3 and done["diff"] == {"before": whole, "after": whole}
    assert there(run, oned, name) == {name("s"): WHOLE}
    appliances.check(2)
    after = run("oneflow_service_info", name=name("s"))["services"][0]
    assert after["id"] != site["id"] and after["roles"][0]["cardinality"] == 3
    assert not {node["vm_id"] for node in site["roles"][0]["nodes"]} & {node["vm_id"] for node in after["roles"][0]["nodes"]}
    assert any("one less of" in line for line in done["_progress"]) and any("goes" in line for line in done["_progress"])


@pytest.mark.parametrize(("supernodes", "numbers", "at_least"), [(1, "0", 0), (2, "0-1", 1), (4, "0-1,4-5", 3)])
def test_the_site_gets_the_number_of_vms_that_it_is_to_have(run, oned, name, site, appliances, supernodes, numbers, at_least):
    appliances.seen.clear()
    run("flower_handover", **options(name, site, supernodes=supernodes, partitions=numbers))
    wanted = [("second", str(number)) for number in settings.parse_numbers(numbers)]
    assert there(run, oned, name) == {name("s"): wanted}
    appliances.check(min(at_least, 2))


def test_a_pin_moves_every_number(run, oned, name, site, appliances):
    run("flower_handover", **options(name, site, partitions="1-3"))
    assert there(run, oned, name) == {name("s"): [("second", "1"), ("second", "2"), ("second", "3")]}
    appliances.check(0)


def killed_at(monkeypatch, number: int) -> None:
    """Let the run die right after its n-th writing call."""
    left = [number]

    def wrote(session) -> None:
        session.changed = True
        left[0] -= 1
        if not left[0]:
            raise Killed

    monkeypatch.setattr(Session, "_wrote", wrote)


@pytest.mark.lab
@pytest.mark.parametrize("number", range(1, 12))
def test_a_killed_run_is_finished_by_the_next(run, oned, name, site, appliances, monkeypatch, number):
    appliances.seen.clear()
    with monkeypatch.context() as patch:
        killed_at(patch, number)
        try:
            run("flower_handover", **options(name, site))
        except Killed:
            pass
        else:
            assert number > 9, "there are at least that many writing calls"
    run("flower_handover", **options(name, site))
    assert there(run, oned, name) == {name("s"): WHOLE}
    assert run("flower_handover", **options(name, site))["changed"] is False
    appliances.check(2)


@pytest.mark.lab
@pytest.mark.parametrize("number", [2, 5, 8])
def test_it_goes_back_where_the_successor_is_not_wanted_any_more(run, oned, name, target, site, appliances, monkeypatch, number):
    appliances.seen.clear()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, number)
        run("flower_handover", **options(name, site))
    made_of(run, name, target, "first")
    (wrong,) = run("oneflow_service_info", name=name("s next"))["services"]
    run("flower_handover", **options(name, wrong, target=name("s")))
    found = there(run, oned, name)
    assert list(found) == [name("s")] and [partition for _note, partition in found[name("s")]] == ["0", "1", "4"]
    assert {note for note, _partition in found[name("s")]} == {"first"}
    appliances.check(1)


def test_a_successor_that_never_works_stops_it_and_the_rest_of_the_site_goes_on(run, name, site, appliances):
    appliances.broken = True
    late = run("flower_handover", **options(name, site, wait_timeout=3), fails=True)
    assert late["error"]["kind"] == "timeout" and late["changed"] is True
    assert len(run("oneflow_service_info", name=name("s"))["services"][0]["roles"][0]["nodes"]) == 2
    appliances.broken = False
    run("flower_handover", **options(name, site))


def test_nothing_is_made_where_there_is_nothing(run, name):
    done = run("flower_handover", **options(name, {"id": None}))
    assert done["changed"] is False and done["made"] == 0 and done["diff"] == {"before": {}, "after": {}}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"supernodes": 0}, "1 or more"),
        ({"supernodes": 4}, "too few"),
        ({"values": {}}, "is mandatory"),
    ],
)
def test_what_is_refused_before_anything_is_read(run, name, wrong, says):
    refused = run("flower_handover", **options(name, {"id": None}, **wrong), fails=True)
    assert refused["error"]["kind"] == "invalid_request" and says in refused["msg"]


def test_a_service_does_not_take_over_from_itself(run, name, site):
    refused = run("flower_handover", **options(name, site, target=name("s")), fails=True)
    assert refused["error"]["kind"] == "invalid_request" and "source and target" in refused["msg"]
