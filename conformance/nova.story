# What the owner of instances does, with a Nova whose instances are real machines under emulation on compute1 and
# compute2. The form is openstack.story's, and beside it:
#
#   await server show web      a command that is repeated until it is as expected, for two minutes
#   on outside ping ${door}    a command on a host of the lab
#       says 1 received        its output, or a client's that is no table, matches this regular expression
#
# An instance becomes ACTIVE only when neutrino has told Nova that its port is wired: vif_plugging_is_fatal is true.

# --- a network with a way out
@demo network create inner
    id > inner
@demo subnet create --network inner --subnet-range 10.50.0.0/24 inner4
@demo router create edge
@demo router set --external-gateway public edge
@demo router add subnet edge inner4
@demo security group create reachable
    id > reachable
@demo security group rule create --protocol icmp reachable

# --- a boot, by libvirt and os-vif
@demo server create --image ${image} --flavor tiny --network inner --wait web
    id > web
    status = ACTIVE
    addresses ~ 10\.50\.0\.
server show ${web}
    OS-EXT-SRV-ATTR:host > host
@demo port list --server web
    Status has ACTIVE
await @demo console log show web
    says lease 10\.50\.0\.
# The metadata service is Nova's, behind the router's namespace.
await @demo console log show web
    says metadata [0-9a-f]{8}-

# --- a floating IP: Nova shows it only because it was told that the port has changed
@demo floating ip create public
    floating_ip_address > door
@demo server add floating ip web ${door}
await @demo server show web
    addresses ~ 172\.24\.4\.
! on outside ping -c 1 -W 2 ${door}
    says 100% packet loss
@demo server add security group web ${reachable}
await on outside ping -c 1 -W 2 ${door}
    says 1 received
@demo server remove security group web ${reachable}
await ! on outside ping -c 1 -W 2 ${door}
    says 100% packet loss
@demo server add security group web ${reachable}
await on outside ping -c 1 -W 2 ${door}
    says 1 received

# --- reboots: the port goes and comes, and Nova waits for it
@demo server reboot --hard --wait web
await on outside ping -c 1 -W 2 ${door}
    says 1 received
@demo server stop web
await @demo server show web
    status = SHUTOFF
# The interface stays on its bridge, so the port does not go down; nobody is behind it.
! on outside ping -c 1 -W 2 ${door}
    says 100% packet loss
@demo port list --server web
    Status has ACTIVE
@demo server start web
await @demo server show web
    status = ACTIVE
await on outside ping -c 1 -W 2 ${door}
    says 1 received

# --- live migration: Nova waits for the port on the other host before it moves the memory
--os-compute-api-version 2.30 server migrate --live-migration --wait ${web}
await server show ${web}
    status = ACTIVE
    OS-EXT-SRV-ATTR:host !~ ^${host}$
await on outside ping -c 1 -W 2 ${door}
    says 1 received
await on ${host} ovs-vsctl --columns=name find Interface external_ids:vm-uuid=${web}
    says ^\s*$
@demo port list --server web
    Status has ACTIVE

# --- further interfaces, while it runs
@demo network create second
@demo subnet create --network second --subnet-range 10.60.0.0/24 second4
@demo server add network web second
await @demo console log show web
    says interface eth1
await @demo port list --server web --network second
    Status has ACTIVE
@demo server remove network web second
await @demo port list --network second --device-owner compute:nova
    Status lacks ACTIVE
@demo port create --network second spare
    id > spare
@demo server add port web spare
await @demo port show spare
    status = ACTIVE
    device_id = ${web}
await @demo server show web
    addresses ~ 10\.60\.0\.
# A port that somebody deletes takes its interface along: Nova was told.
@demo port delete spare
await @demo server show web
    addresses !~ 10\.60\.0\.

# --- the end
@demo server remove floating ip web ${door}
await ! on outside ping -c 1 -W 1 ${door}
    says 100% packet loss
await @demo server show web
    addresses !~ 172\.24\.
@demo server delete --wait web
@demo port list --network inner --device-owner compute:nova
    says ^\s*$
on compute1 ovs-vsctl --columns=name find Interface external_ids:vm-uuid=${web}
    says ^\s*$
on compute2 ovs-vsctl --columns=name find Interface external_ids:vm-uuid=${web}
    says ^\s*$
# A port that was there before the instance stays.
@demo port create --network inner --security-group ${reachable} mine
    id > mine
@demo server create --image ${image} --flavor tiny --port mine --wait other
    status = ACTIVE
@demo server delete --wait other
@demo port show mine
    device_id ~ ^$
    status = DOWN
@demo floating ip delete ${door}
@demo router remove subnet edge inner4
@demo router delete edge
@demo port delete mine
@demo network delete inner second
@demo security group delete reachable
