# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from oneflower_appliance import context, onegate, partition, publish

from tests.unit.appliance.gate import Gate


@pytest.fixture
def gate():
    server = Gate(("127.0.0.1", 0), {"superlink": [12]})
    yield server
    server.close()


@pytest.fixture
def client(gate):
    return onegate.OneGate(context.Gate(gate.url, "12", "token-12"), timeout_s=2)


@pytest.mark.parametrize(
    "value",
    [
        "time_ms=60000,timeout_ms=20000",
        "DNS:localhost,IP:::1",
        "YWJj+/==",
        'a "quoted" [x] \\ <&> value',
        "0.91,0.20,0.01",
        "häh",
    ],
)
def test_values_survive_what_onegate_does_to_updates(gate, client, value):
    client.update({"FL_VALUE": value, "FL_OTHER": "1"})
    assert gate.attributes[12] == {"FL_VALUE": value, "FL_OTHER": "1"}
    assert client.attributes() == {"FL_VALUE": value, "FL_OTHER": "1"}


def test_control_characters_become_blanks(gate, client):
    client.update({"FL_ERROR": "two\nlines\x00 \x1b[31m"})
    assert gate.attributes[12]["FL_ERROR"] == "two lines   [31m"


def test_ready_is_text_because_the_gate_matches_text(gate, client):
    client.ready("YES")
    assert gate.updates == [(12, "READY=YES")]
    assert gate.attributes[12] == {"READY": "YES"}


def test_remove(gate, client):
    client.update({"FL_ERROR": "x"})
    client.remove("FL_ERROR")
    assert gate.attributes[12] == {}


def test_refusal_names_everything_but_the_token(gate):
    client = onegate.OneGate(context.Gate(gate.url, "12", "wrong-secret"), timeout_s=2)
    with pytest.raises(onegate.GateError, match="401 Not authorized") as caught:
        client.attributes()
    assert "secret" not in str(caught.value)


def test_nobody_there(gate, client):
    gate.close()
    with pytest.raises(onegate.GateError, match="cannot be reached"):
        client.attributes()


def test_names_are_checked():
    with pytest.raises(ValueError, match="attribute name"):
        onegate.encode({"A><B": "x"})


class TestPublisher:
    def test_ready_comes_last_and_all_else_before(self, gate, client):
        publish.Publisher(client).publish({"FL_ROLE": "superlink", "FL_ERROR": None}, ready=True)
        bodies = [body for _vm, body in gate.updates]
        assert bodies[-1] == "READY=YES"
        # What opens OneFlow's gate: the text without blanks and quotes contains READY=YES.
        assert not any("READY=YES" in body.replace('"', "").replace(" ", "") for body in bodies[:-1])
        assert gate.attributes[12] == {"FL_ROLE": "superlink", "FL_READY": "YES", "READY": "YES"}

    def test_not_ready_comes_first(self, gate, client):
        gate.attributes[12] = {"READY": "YES", "FL_READY": "YES"}
        publish.Publisher(client).publish({"FL_ERROR": "broken"}, ready=False)
        assert "FL_ERROR" in gate.updates[-1][1]
        assert gate.attributes[12] == {"READY": "NO", "FL_READY": "NO", "FL_ERROR": "broken"}

    def test_never_ready_says_nothing_of_it(self, gate, client):
        publish.Publisher(client).publish({"FL_ROLE": "superlink"}, ready=False)
        assert gate.attributes[12] == {"FL_ROLE": "superlink"}

    def test_only_what_changed_is_sent(self, gate, client):
        publisher = publish.Publisher(client)
        publisher.publish({"FL_A": "1", "FL_B": "x\ny"}, ready=True)
        sent = len(gate.updates)
        publisher.publish({"FL_A": "1", "FL_B": "x\ny"}, ready=True)
        assert len(gate.updates) == sent
        publisher.publish({"FL_A": "2", "FL_B": "x\ny"}, ready=True)
        assert gate.updates[sent:] == [(12, "<TEMPLATE><FL_A>2</FL_A></TEMPLATE>")]

    def test_error_is_removed_when_healthy(self, gate, client):
        publisher = publish.Publisher(client)
        publisher.publish({"FL_ERROR": "broken"}, ready=False)
        publisher.publish({"FL_ERROR": None}, ready=True)
        assert "FL_ERROR" not in gate.attributes[12]


def test_siblings_are_told_as_they_are_now(gate, client):
    """The number that a VM of another service gave free is the only one on the list; a sibling holds another."""
    gate.roles["superlink"].append(11)
    gate.attributes[11] = {"FL_PARTITION_ID": "0"}
    nodes, cardinality = partition.siblings(client.service(), "12")
    assert (nodes, cardinality) == ({"12": "", "11": "0"}, 2)
    assert partition.choose(nodes, "12", [1]) == 1


def test_a_vm_outside_of_a_service_is_told_from_other_refusals(gate, client):
    gate.roles.clear()
    with pytest.raises(onegate.NoService, match="400 Empty or invalid SERVICE_ID"):
        client.service()
    stranger = onegate.OneGate(context.Gate(gate.url, "12", "wrong"), timeout_s=2)
    with pytest.raises(onegate.GateError) as caught:
        stranger.service()
    assert not isinstance(caught.value, onegate.NoService)
    assert caught.value.code == 401

    def test_what_became_empty_is_removed_and_not_sent_again_and_again(self, gate, client):
        """oned drops empty elements, so an update with one changes nothing."""
        publisher = publish.Publisher(client)
        publisher.publish({"FL_RUN_ERROR": "broken", "FL_ROLE": "superlink"}, ready=False)
        for _turn in range(2):
            publisher.known = None
            publisher.publish({"FL_RUN_ERROR": "", "FL_ROLE": "superlink"}, ready=False)
        assert gate.attributes[12] == {"FL_ROLE": "superlink"}
