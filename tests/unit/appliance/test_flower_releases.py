# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of Flower releases owns the default version; whoever names one elsewhere names the same."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import flower_releases, settings

from lab import image

ROLE = Path(__file__).parents[3] / "roles" / "flower_appliance"


def read(path):
    return yaml.safe_load((ROLE / path).read_text())


def test_a_known_release():
    release = flower_releases.lookup("1.39.0")
    assert (release.fleet_transport, release.fleet_port, release.control_port, release.keepalive) == ("grpc", 9092, 8000, True)


def test_an_unknown_release_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"known are .*1\.39\.0"):
        flower_releases.lookup("1.42.0")


def test_one_default_everywhere():
    default = flower_releases.DEFAULT.version
    assert settings.BY_NAME[settings.VERSION].default == default
    assert read("defaults/main.yml")["flower_appliance_version"] == default
    assert read("meta/argument_specs.yml")["argument_specs"]["main"]["options"]["flower_appliance_version"]["default"] == default
    assert f"flwr=={default}" in image.WHEELS
