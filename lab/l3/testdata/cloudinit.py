"""Prints as JSON what cloud-init makes of the metadata service that answers here.

It runs cloud-init's own datasources, from their crawl to the network
configuration as ifupdown, networkd and netplan get it. Only the words of the
machine's firmware, by which they know their cloud, are told to them.
"""

import json
import logging
import sys
import tempfile

from cloudinit import distros, dmi, helpers
from cloudinit.net import eni, netplan, network_state, networkd
from cloudinit.sources import DataSourceEc2, DataSourceOpenStack

FIRMWARE = {
    "openstack": {"system-product-name": "OpenStack Nova"},
    "aws": {  # this one asks for a session token and shows it
        "system-uuid": "ec2e1916-9099-7caf-fd21-012345abcdef",
        "system-serial-number": "ec2e1916-9099-7caf-fd21-012345abcdef",
    },
    "ec2": {},
}


class Ear(logging.Handler):
    """Keeps what cloud-init warns of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.heard = []

    def emit(self, record):
        self.heard.append(record.getMessage())


def rendered(config):
    state = network_state.parse_net_config_data(config)
    return {
        "interfaces": eni.Renderer()._render_interfaces(state),
        "netplan": netplan.Renderer()._render_content(state),
        "networkd": networkd.Renderer()._render_content(state),
    }


def read(cloud, directory):
    dmi.read_dmi_data = FIRMWARE[cloud].get
    config = {"datasource_list": ["OpenStack", "Ec2"], "datasource": {
        name: {"metadata_urls": ["http://169.254.169.254"], "max_wait": 10, "timeout": 5, "retries": 0}
        for name in ("OpenStack", "Ec2")}}
    paths = helpers.Paths({"cloud_dir": directory, "run_dir": directory})
    distro = distros.fetch("debian")("debian", config, paths)
    kind = DataSourceOpenStack.DataSourceOpenStack
    if cloud != "openstack":
        kind = DataSourceEc2.DataSourceEc2
    source = kind(config, distro, paths)
    if not source.get_data():
        raise SystemExit("%s: there is no such cloud here" % cloud)
    name = source.get_hostname()
    return {
        "instance_id": source.get_instance_id(),
        "hostname": getattr(name, "hostname", name),
        "keys": source.get_public_ssh_keys(),
        "user_data": source.get_userdata_raw().decode(),
        "token": getattr(source, "_api_token", None) or "",
        "network": source.network_config,
        "ec2": getattr(source, "ec2_metadata", None) or source.metadata,
        "rendered": rendered(source.network_config),
    }


def main():
    ear = Ear()
    logging.getLogger().addHandler(ear)
    said = {}
    for cloud in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as directory:
            said[cloud] = read(cloud, directory)
        said[cloud]["warnings"], ear.heard = ear.heard, []
    json.dump(said, sys.stdout, default=repr)


main()
