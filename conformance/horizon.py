"""Horizon's settings for neutrino's conformance run, and what uwsgi serves."""
import os

from django.core.wsgi import get_wsgi_application
from openstack_dashboard.settings import *  # noqa: F403

ALLOWED_HOSTS = ["127.0.0.1"]
OPENSTACK_KEYSTONE_URL = os.environ["OS_AUTH_URL"]
SESSION_ENGINE = "django.contrib.sessions.backends.file"
SESSION_FILE_PATH = os.environ["HORIZON_SESSIONS"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
SECRET_KEY = "of this run"  # on loopback, and gone with it
OPENSTACK_NEUTRON_NETWORK = {
    "enable_router": True, "enable_quotas": True, "enable_ipv6": True, "enable_distributed_router": False,
    "enable_ha_router": False, "enable_fip_topology_check": True, "enable_rbac_policy": True,
    "supported_vnic_types": ["*"], "physical_networks": [],
}


def application(environ, start_response):
    """Django reads this file as its settings first, so the application is made at the first request."""
    global application
    application = get_wsgi_application()
    return application(environ, start_response)
