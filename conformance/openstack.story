# What an operator does with the `openstack` client, one command a line, in the order of a cloud's life.
#
#   network create blue        a command: it has to succeed
#       status = ACTIVE        a field of its answer is this text (JSON, if it is no text)
#       id ~ ^[0-9a-f-]{36}$   a field matches this regular expression
#       id > blue              a field is kept, and is ${blue} from here on
#       Name has blue          a row of a list has the value in that column; lacks is the contrary
#   ! network show green       a command that has to fail, and below it what it has to say
#   @demo network list         a command of a user without the role admin

# --- what there is before anything is made
extension list --network
    Alias has router
    Alias has security-group
network agent list
    Agent Type has Open vSwitch agent
    Agent Type has DHCP agent
    Agent Type has L3 agent
availability zone list --network
    Zone Name has nova
network service provider list
    Default has true
network list --external
    Name has public
! network show no-such-network
    No Network found for no-such-network

# --- networks
network create --description first blue
    id > blue
    name = blue
    description = first
    status = ACTIVE
    admin_state_up = true
    router:external = false
    mtu ~ ^1[34]..$
    provider:network_type ~ ^(gre|vxlan|geneve)$
    revision_number ~ ^[0-9]+$
    created_at ~ ^20..-
network create --mtu 1300 --disable-port-security --no-share red
    mtu = 1300
    port_security_enabled = false
network set --name crimson --description second red
network show crimson
    description = second
network set --tag quick --tag dirty blue
network show blue
    tags ~ quick
network list --tags quick
    Name has blue
    Name lacks crimson
network unset --tag dirty blue
network show blue
    tags = ["quick"]
network set --dns-domain example.org. crimson
network show crimson
    dns_domain = example.org.
network set --disable crimson
network show crimson
    admin_state_up = false
network list --name blue --long
    Name has blue
network delete crimson
! network show crimson
    No Network found

# --- address scopes and subnet pools
address scope create --ip-version 4 scope4
    id > scope
    ip_version = 4
address scope set --name scope-four scope4
address scope list
    Name has scope-four
subnet pool create --pool-prefix 10.20.0.0/16 --default-prefix-length 26 --min-prefix-length 20 --address-scope scope-four pool4
    prefixes = ["10.20.0.0/16"]
    address_scope_id = ${scope}
    default_prefixlen = 26
subnet pool set --pool-prefix 10.30.0.0/16 --description more pool4
subnet pool show pool4
    description = more
    prefixes ~ 10\.30\.0\.0/16
subnet pool list
    Name has pool4

# --- subnets
subnet create --network blue --subnet-range 10.10.0.0/24 --dns-nameserver 192.0.2.53 --allocation-pool start=10.10.0.10,end=10.10.0.200 --host-route destination=10.99.0.0/16,gateway=10.10.0.2 blue4
    id > blue4
    gateway_ip = 10.10.0.1
    enable_dhcp = true
    ip_version = 4
    dns_nameservers = ["192.0.2.53"]
    host_routes ~ 10\.99\.0\.0/16
subnet create --network blue --ip-version 6 --ipv6-ra-mode slaac --ipv6-address-mode slaac --subnet-range fd00:10::/64 blue6
    ipv6_ra_mode = slaac
network create green
subnet create --network green --subnet-pool pool4 --prefix-length 27 --no-dhcp from-pool
    cidr ~ ^10\.(20|30)\.[0-9.]+/27$
    enable_dhcp = false
network show green
    ipv4_address_scope = ${scope}
# All subnets of a network are in one address scope.
! subnet create --network blue --subnet-pool pool4 --prefix-length 27 mixed
    address scope
subnet set --dns-nameserver 192.0.2.54 --no-allocation-pool --allocation-pool start=10.10.0.10,end=10.10.0.250 blue4
subnet show blue4
    dns_nameservers ~ 192\.0\.2\.54
    allocation_pools ~ 10\.10\.0\.250
subnet unset --host-route destination=10.99.0.0/16,gateway=10.10.0.2 blue4
subnet show blue4
    host_routes = []
subnet list --network blue
    Name has blue4
    Name has blue6
! subnet create --network blue --subnet-range 10.10.0.128/25 overlap
    overlap
! subnet pool delete pool4
    allocations
subnet delete from-pool
network delete green
ip availability show blue
    used_ips ~ ^[0-9]+$

# --- security groups
security group create --description web web
    id > web
    stateful = true
security group create --stateless loose
    stateful = false
security group rule create --ingress --protocol tcp --dst-port 80:81 --remote-ip 203.0.113.0/24 web
    id > rule
    port_range_min = 80
    port_range_max = 81
    remote_ip_prefix = 203.0.113.0/24
security group rule create --egress --ethertype IPv6 --protocol ipv6-icmp --icmp-type 128 web
security group rule create --ingress --protocol udp --remote-group web web
! security group rule create --ingress --protocol tcp --dst-port 80:81 --remote-ip 203.0.113.0/24 web
    already exists
security group rule list web
    ID has ${rule}
security group rule show ${rule}
    protocol = tcp
security group rule delete ${rule}
security group set --name www web
security group set --tag front www
security group list --tags front
    Name has www
security group delete loose

# --- ports
port create --network blue --fixed-ip subnet=blue4,ip-address=10.10.0.50 --security-group www --description nic nic
    id > nic
    mac_address ~ ^fa:16:3e:
    fixed_ips ~ 10\.10\.0\.50
    status = DOWN
    security_group_ids ~ ${web}
port set --device 7d6b5bd6-3f24-4c83-9d3e-4ac5ee6b5a1d --device-owner compute:nova --host compute1 nic
port show nic
    binding_vif_type = ovs
    binding_host_id = compute1
    device_owner = compute:nova
port set --allowed-address ip-address=10.10.0.99 --extra-dhcp-option name=bootfile-name,value=boot.ipxe nic
port show nic
    allowed_address_pairs ~ 10\.10\.0\.99
    extra_dhcp_opts ~ boot\.ipxe
port set --no-allowed-address nic
port show nic
    allowed_address_pairs = []
port set --tag gold nic
port list --tags gold
    ID has ${nic}
port list --fixed-ip subnet=blue4 --fixed-ip ip-address=10.10.0.50
    ID has ${nic}
port list --device-id 7d6b5bd6-3f24-4c83-9d3e-4ac5ee6b5a1d
    ID has ${nic}
port create --network blue --no-security-group --disable-port-security --vnic-type normal --mac-address fa:16:3e:aa:bb:cc bare
    port_security_enabled = false
    mac_address = fa:16:3e:aa:bb:cc
! port create --network blue --fixed-ip subnet=blue4,ip-address=10.10.0.50 twin
    10\.10\.0\.50
! security group delete www
    in use
port delete bare
! network delete blue
    (in use|one or more ports)

# --- routers and the outside
router create --description edge edge
    id > edge
    status = ACTIVE
router set --external-gateway public edge
router show edge
    external_gateway_info ~ external_fixed_ips
router add subnet edge blue4
router show edge
    interfaces_info ~ 10\.10\.0\.1
router set --route destination=10.77.0.0/16,gateway=10.10.0.50 edge
router show edge
    routes ~ 10\.77\.0\.0/16
router add route --route destination=10.78.0.0/16,gateway=10.10.0.50 edge
router unset --route destination=10.77.0.0/16,gateway=10.10.0.50 edge
router show edge
    routes ~ ^[^7]*10\.78\.0\.0/16
router set --no-route edge
router set --disable-snat --external-gateway public edge
router show edge
    external_gateway_info ~ enable_snat": ?false
router set --enable-snat --external-gateway public edge
router set --tag main edge
router list --tags main
    Name has edge
network agent list --router edge
    Agent Type has L3 agent
network agent list --network blue
    Agent Type has DHCP agent
! router delete edge
    (still has ports|ports still attached)
floating ip create --port nic --description door public
    id > fip
    floating_ip_address > door
    fixed_ip_address = 10.10.0.50
floating ip show ${door}
    id = ${fip}
    router_id = ${edge}
floating ip list --port nic
    Floating IP Address has ${door}
floating ip unset --port ${fip}
floating ip show ${fip}
    port_id = null
floating ip set --port nic ${fip}
! router remove subnet edge blue4
    (required by one or more floating|Floating)
floating ip unset --port ${fip}
floating ip port forwarding create --internal-ip-address 10.10.0.50 --port nic --internal-protocol-port 22 --external-protocol-port 2222 --protocol tcp ${fip}
    id > forwarding
floating ip port forwarding list ${fip}
    External Port has 2222
floating ip port forwarding delete ${fip} ${forwarding}
floating ip delete ${fip}

# --- sharing
network rbac create --type network --action access_as_shared --target-project demo blue
    id > grant
network rbac list
    ID has ${grant}
@demo network show blue
    id = ${blue}
network rbac delete ${grant}
! @demo network show blue
    No Network found
network set --share blue
@demo network list
    Name has blue
network set --no-share blue
@demo network create own
    name = own
! @demo network create --external mine
    (403|orbidden|disallowed|policy)
@demo security group list
    Name has default

# --- quotas
# This release's `quota set` and `quota show` want a compute service too, which is not here; gophercloud's story sets.
quota list --network
@demo network delete own

# --- metering
network meter create --description traffic meter
    name = meter
network meter rule create --remote-ip-prefix 198.51.100.0/24 --ingress meter
    id > counted
network meter rule list
    ID has ${counted}
network meter rule delete ${counted}
network meter delete meter

# --- schedulers
network agent list --agent-type dhcp
    Host has network1
network agent list --agent-type l3 --host network1
    Host has network1

# --- the end of all
router remove subnet edge blue4
router unset --external-gateway edge
router delete edge
port delete nic
security group delete www
subnet delete blue4 blue6
network delete blue
subnet pool delete pool4
address scope delete scope-four
network list
    Name lacks blue
