package check

// networkHost is the network host's bridges (H, I, J).
var networkHost = []Row{
	{ID: "S100", Line: "158", On: "network", Show: "ovs-vsctl list-ports br-tun | grep ^$type-", Want: has("$tocom")},
	{ID: "S101", Line: "160", On: "network", Show: "ovs-ofctl dump-flows br-tun", Want: has("table=0", "table=2", "table=3", "table=4", "table=20", "table=22")},
	{ID: "S102", Line: "162,168", Show: "the VM's DHCPDISCOVER is seen on tap$d11", Try: discoverReachesServer},
	{ID: "S103", Line: "163,172", On: "compute", Show: "ovs-ofctl --names dump-flows br-tun table=20,dl_dst=$dmac", Want: like(`dl_vlan=$lv,dl_dst=$dmac actions=strip_vlan,.*$key.*,output:"?$tonet`)},
	{ID: "S104", Line: "164,178", Show: "ping $rip in the VM; ovs-ofctl --names dump-flows br-tun table=20,dl_dst=$rmac", Try: gatewayReached},
	{ID: "S105", Line: "165,184", Show: "tcpdump on the network host's underlay: the DHCP answer leaves with key $key", Try: answerHasKey},
	{ID: "S106", Line: "166", On: "network", Show: "ovs-appctl ofproto/trace --names br-tun in_port=$tocom,tun_id=0xdead,dl_dst=$dmac", Want: has("Datapath actions: drop")},
	{ID: "S110", Line: "190", Show: "the VM reaches the DHCP server and its gateway through br-int", Try: guestReachesServer},
	{ID: "S111", Line: "192-196", On: "network", Show: "ovs-vsctl show", Want: has("Bridge br-int", "Port patch-tun", "Port br-int", "Port tap$d11", "tag: $nlv")},
	{ID: "S112", Line: "197-200", On: "network", Show: "ovs-vsctl get Interface patch-tun type options:peer", Want: set("patch", "patch-int")},
	{ID: "S113", Line: "201-203", On: "network", Show: "ovs-vsctl get Port tap$d11 tag; ovs-vsctl get Interface tap$d11 external_ids:iface-id", Want: set("$nlv", "\"$dhcp\"")},
	{ID: "S114", Line: "204-206", On: "network", Show: "ovs-vsctl get Interface br-int type", Want: is("internal")},
	{ID: "S115", Line: "207-209", On: "router", Show: "ovs-vsctl get Port tap$r11 tag; ovs-vsctl get Interface tap$r11 external_ids:iface-id", Want: set("$rlv", "\"$rport\"")},
	{ID: "S116", Line: "214", On: "network", Show: "ovs-appctl ofproto/trace --names br-int in_port=tap$d11,dl_src=$dmac,dl_dst=$mac,ip", Want: has("bridge(\"br-tun\")", "$key->tun_id")},
}

// dhcp is the network host's DHCP server (O, P).
var dhcp = []Row{
	{ID: "S121", Line: "218", On: "network", Show: "ip netns pids $ns | grep -x $(cat $dir/pid) && echo inside", Want: has("inside")},
	{ID: "S122", Line: "218", On: "network", Show: "ip netns exec $ns ip -4 -br addr; ip netns exec $ns ip route; ip netns exec $ns iptables-save -t mangle", Want: all(has("ns-$d11", "10.1.0.0/24 dev ns-$d11", "CHECKSUM"), without("br-phy"))},
	{ID: "S123", Line: "220,222", On: "network", Show: "ip netns", Want: has("qdhcp-")},
	{ID: "S124", Line: "223,226", On: "network", Show: "ip netns list | grep -ow $ns", Want: is("$ns")},
	{ID: "S125", Line: "224,226", On: "router", Show: "ip netns list | grep -ow $rns", Want: is("$rns")},
	{ID: "S126", Line: "228", On: "network", Show: "ip netns exec $ns true && echo 0", Want: is("0")},
	{ID: "S127", Line: "230-231", On: "network", Show: "ip netns exec $ns ip link show ns-$d11", Want: has("UP", "LOWER_UP")},
	{ID: "S128", Line: "231", On: "network", Show: "ip netns exec $ns cat /sys/class/net/ns-$d11/mtu", Want: is("$mtu")},
	{ID: "S129", Line: "232,237", On: "network", Show: "ip netns exec $ns cat /sys/class/net/ns-$d11/address; ovs-vsctl get Interface tap$d11 external_ids:attached-mac", Want: set("$dmac", "\"$dmac\"")},
	{ID: "S130", Line: "233", On: "network", Show: "ip netns exec $ns ip -4 addr show ns-$d11", Want: has("inet $dip/24 brd 10.1.0.255 scope global")},
	{ID: "S131", Line: "234-235", Show: "ip netns exec $ns ip -6 addr show scope link: the EUI-64 address of $dmac", Try: linkLocal},
	{ID: "S132", Line: "230", On: "network", Show: "ip netns exec $ns ip link show lo", Want: has("UP")},
	{ID: "S133", Line: "237,239", On: "network", Show: "ip netns exec $ns cat /sys/class/net/ns-$d11/iflink; cat /sys/class/net/tap$d11/ifindex", Want: twice},
	{ID: "S134", Line: "243,245", On: "network", Show: "ps -eo pid,args | grep [d]nsmasq.*$net", Want: has("$net")},
	{ID: "S135", Line: "246-247", On: "network", Show: "ps -o user= -p $(cat $dir/pid)", Want: all(without("root"), like(`\S`))},
	{ID: "S136", Line: "246", On: "network", Show: "tr '\\0' ' ' < /proc/$(cat $dir/pid)/cmdline", Want: has("--no-hosts ")},
	{ID: "S137", Line: "246", On: "network", Show: "tr '\\0' ' ' < /proc/$(cat $dir/pid)/cmdline", Want: has("--no-resolv ")},
	{ID: "S138", Line: "246", Show: "nslookup -type=a host-10-1-0-2.openstacklocal $dip", Try: nameResolves},
	{ID: "S139", Line: "246", Show: "dnsmasq answers on its own subnet only", Try: refusesForeignSubnet},
	{ID: "S140", Line: "246", On: "network", Show: "cat $dir/pid; tr '\\0' '\\n' < /proc/$(cat $dir/pid)/cmdline | head -1", Want: has("dnsmasq")},
	{ID: "S141", Line: "246", On: "network", Show: "cat $dir/host", Want: has("$mac,host-10-1-0-2.openstacklocal,$ip")},
	{ID: "S142", Line: "246", Show: "router, MTU and classless routes of the VM's lease", Try: leaseOptions},
	{ID: "S143", Line: "246", Show: "another DHCP host takes over: the VM's renewal gets an ACK, no NAK", Try: renewalAfterFailover},
	{ID: "S144", Line: "246", Show: "an unknown MAC gets no offer", Try: unknownMACGetsNothing},
	{ID: "S145", Line: "246", Show: "the lease's time is dhcp_lease_duration", Try: leaseTime},
	{ID: "S146", Line: "246", On: "network", Show: "tr '\\0' ' ' < /proc/$(cat $dir/pid)/cmdline", Want: has("--conf-file=/dev/null ")},
	{ID: "S147", Line: "246", Show: "domain of the VM's lease; host-10-1-0-2 resolves", Try: domain},
	{ID: "S148", Line: "218", Show: "udhcpc in the VM: the exchange takes less than 3 s", Try: exchangeIsFast},
	{ID: "S149", Line: "218", Show: "a new port is in $dir/host under the same pid", Try: newPortWithoutRestart},
}

// traffic follows packets from end to end.
var traffic = []Row{
	{ID: "S230", Line: "34-154", Show: "one request seen on tap, qvb, qvo and the underlay", Try: outboundJourney},
	{ID: "S006", Line: "26-30", Show: "one packet seen at the letters A to P, in order of time", Try: everyLetter},
	{ID: "S232", Line: "251-322", Show: "ping $far in the VM: seen on qr, qg, br-ex and the wire as $fip; the reply returns", Try: northSouth},
	{ID: "S231", Line: "158-214", Show: "the same packet on the network host's underlay and on tap$d11", Try: arrival},
}

// verbs are the seed's commands, run as it prints them.
var verbs = []Row{
	{ID: "S238", Line: "81-333", Show: "every command of the seed ends with 0, its clients' verbs too", Try: seedCommands},
}

// behaviour is what the walk-through implies; these rows disturb the lab and
// put it right again.
var behaviour = []Row{
	{ID: "S084", Line: "110", Show: "flows with a key come with the first port of a host and go with the last", Try: flowsComeAndGo},
	{ID: "S233", Line: "108", Show: "a network's flows and VLAN on a host go with its last port", Try: flowsComeAndGo},
	{ID: "S120", Line: "218", Show: "enable_dhcp off: dnsmasq and namespace go; on: they come back", Try: dhcpOffAndOn},
	{ID: "S234", Line: "96,79", Show: "two projects with 10.1.0.0/24 on the same hosts do not see each other", Try: overlappingProjects},
	{ID: "S235", Line: "49,60", Show: "a removed rule ends its live connection within a second", Try: removedRuleEndsConnection},
	{ID: "S236", Line: "all", Show: "kill -9 of both agents under a 10 ms ping and an idle TCP session", Try: agentRestartKeepsTraffic},
	{ID: "S237", Line: "all", Show: "without a server: ping, new connections, renewal, metadata and floating IP go on; with it again nothing is rebuilt", Try: serverOutage},
	{ID: "S239", Line: "42-73", On: "compute", Show: "iptables -S | grep tap$p11; iptables -S | grep -e '-[io]$p10'",
		Want: has("-A $X-FORWARD -m physdev --physdev-in tap$p11", "-A $X-sg-chain -m physdev --physdev-out tap$p11", "-A $X-i$p10 ", "-A $X-o$p10 ")},
	{ID: "S240", Line: "222-247", Show: "names can be found by UUID", Try: namesByUUID},
	{ID: "S241", Line: "43-58,84", Show: "with the agent stopped a plugged port is on VLAN 4095; started, its chains come first", Try: deadUntilFiltered},
	{ID: "S242", Line: "34,94", Show: "a removed instance leaves no device, chain, set or flow", Try: unplugCleansAll},
}
