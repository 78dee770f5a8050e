"""Python runs this file before tempest. Tempest's client sleeps ten seconds before it deletes a subnet, for data planes
that take their time; neutrino answers when the deletion is decided. That one sleep is left out, nothing else."""
import sys
import time

_real_sleep = time.sleep


def _sleep(seconds):
    caller = sys._getframe(1).f_globals.get("__name__")
    if caller != "tempest.lib.services.network.subnets_client":
        _real_sleep(seconds)


time.sleep = _sleep
