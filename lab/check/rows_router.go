package check

// router is the router's namespace with its two interfaces (M, N).
var router = []Row{
	{ID: "S161", Line: "253-255", On: "router", Show: "ip netns", Want: has("$rns")},
	{ID: "S162", Line: "257,259", On: "router", Show: "$Q ip addr", Want: has("qg-$g11", "qr-$r11")},
	{ID: "S163", Line: "260,272", On: "router", Show: "$Q ip link show qg-$g11", Want: has("UP", "LOWER_UP")},
	{ID: "S164", Line: "261", On: "router", Show: "$Q cat /sys/class/net/qg-$g11/address", Want: is("$gmac")},
	{ID: "S165", Line: "262", On: "router", Show: "$Q ip -4 addr show qg-$g11", Want: has("inet $gip/28 brd 172.24.4.239 scope global")},
	{ID: "S166", Line: "263", Show: "$Q ip -4 addr show qg-$g11: $fip/32, and another floating IP while it is associated", Try: floatingAddress},
	{ID: "S167", Line: "264-270", Show: "$Q ip -6 addr show scope link: the EUI-64 addresses of $gmac and $rmac", Try: routerLinkLocals},
	{ID: "S168", Line: "266,272", On: "router", Show: "$Q ip link show qr-$r11", Want: has("UP", "LOWER_UP")},
	{ID: "S169", Line: "267", Show: "$rmac is the MAC of qr-$r11 and the VM's neighbour $rip", Try: routerMAC},
	{ID: "S170", Line: "268", On: "router", Show: "$Q ip -4 addr show qr-$r11", Want: has("inet $rip/24 brd 10.1.0.255 scope global")},
	{ID: "S171", Line: "260,266", On: "router", Show: "$Q cat /sys/class/net/qr-$r11/mtu; $Q cat /sys/class/net/qg-$g11/mtu", Want: inOrder("$mtu", "$xmtu")},
	{ID: "S173", Line: "272-276", On: "router", Show: "ovs-vsctl port-to-br tap$r11; test $($Q cat /sys/class/net/qr-$r11/iflink) = $(cat /sys/class/net/tap$r11/ifindex) && echo peers",
		Want: set("br-int", "peers")},
	{ID: "S174", Line: "278,280", On: "router", Show: "$Q ip route", Want: has("default")},
	{ID: "S175", Line: "281", On: "router", Show: "$Q ip route", Want: has("172.24.4.224/28 dev qg-$g11 proto kernel scope link src $gip")},
	{ID: "S176", Line: "282", On: "router", Show: "$Q ip route", Want: has("10.1.0.0/24 dev qr-$r11 proto kernel scope link src $rip")},
	{ID: "S177", Line: "283", Show: "$Q ip route: default via $xgw proto static; it follows the subnet's gateway", Try: defaultRoute},
	{ID: "S160", Line: "251", Show: "ping from the VM to an instance of another subnet of the router", Try: eastWest},
	{ID: "S172", Line: "272", Show: "router gateway set: qg appears with its rules; unset: it goes with them", Try: gatewaySetAndUnset},
}

// nat is the router's nat table, chain by chain, and what it does.
var nat = []Row{
	{ID: "S178", Line: "285,287", On: "router", Show: "$Q iptables -t nat -S", Want: has("-N $L-PREROUTING", "-N $L-snat")},
	{ID: "S179", Line: "288-290", On: "router", Show: "$Q iptables -t nat -S", Want: has("-P PREROUTING ACCEPT", "-P POSTROUTING ACCEPT", "-P OUTPUT ACCEPT")},
	{ID: "S180", Line: "291", On: "router", Show: "$Q iptables -t nat -S", Want: has("-N $L-OUTPUT\n")},
	{ID: "S181", Line: "292", On: "router", Show: "$Q iptables -t nat -S", Want: has("-N $L-POSTROUTING\n")},
	{ID: "S182", Line: "293", On: "router", Show: "$Q iptables -t nat -S", Want: has("-N $L-PREROUTING\n")},
	{ID: "S183", Line: "294", On: "router", Show: "$Q iptables -t nat -S", Want: has("-N $L-float-snat\n")},
	{ID: "S184", Line: "295", On: "router", Show: "$Q iptables -t nat -S", Want: has("-N $L-snat\n")},
	{ID: "S185", Line: "296", On: "router", Show: "$Q iptables -t nat -S", Want: has("-N neutron-postrouting-bottom\n")},
	{ID: "S186", Line: "297", On: "router", Show: "$Q iptables -t nat -S PREROUTING", Want: has("-A PREROUTING -j $L-PREROUTING")},
	{ID: "S187", Line: "298", On: "router", Show: "$Q iptables -t nat -S POSTROUTING | sed -n 2p", Want: is("-A POSTROUTING -j $L-POSTROUTING")},
	{ID: "S188", Line: "299", On: "router", Show: "$Q iptables -t nat -S POSTROUTING | sed -n 3p", Want: is("-A POSTROUTING -j neutron-postrouting-bottom")},
	{ID: "S189", Line: "300", On: "router", Show: "$Q iptables -t nat -S OUTPUT", Want: has("-A OUTPUT -j $L-OUTPUT")},
	{ID: "S190", Line: "301,312", Show: "$Q nc $fip 22 echoes by -A $L-OUTPUT -d $fip/32 -j DNAT --to-destination $ip", Try: fromTheRouterItself},
	{ID: "S191", Line: "302", Show: "-A $L-POSTROUTING ! -o qg-$g11 -m conntrack ! --ctstate DNAT -j ACCEPT: east-west keeps its source", Try: eastWestKeepsSource},
	{ID: "S192", Line: "303", Show: "wget -O - http://169.254.169.254/openstack/latest/meta_data.json in the VM: uuid $uuid", Try: metadata},
	{ID: "S193", Line: "304,313", Show: "the outside reaches $fip by -A $L-PREROUTING -d $fip/32 -j DNAT --to-destination $ip", Try: inwards},
	{ID: "S194", Line: "305,314", Show: "the outside sees the VM as $fip by -A $L-float-snat -s $ip/32 -j SNAT --to-source $fip", Try: outwardsFloating},
	{ID: "S195", Line: "306", On: "router", Show: "$Q iptables -t nat -S $L-snat | sed -n 2p", Want: is("-A $L-snat -j $L-float-snat")},
	{ID: "S196", Line: "307,318", Show: "the outside sees others as $gip by -A $L-snat -o qg-$g11 -j SNAT --to-source $gip", Try: outwardsGateway},
	{ID: "S197", Line: "308", On: "router", Show: "$Q iptables -t nat -S neutron-postrouting-bottom", Want: has("-A neutron-postrouting-bottom -j $L-snat")},
	{ID: "S198", Line: "310", Show: "two floating IPs: two triples of rules, each leads to its own instance", Try: twoFloatingIPs},
	{ID: "S199", Line: "316", Show: "openstack floating ip set --port: three rules and a /32, and $fip's connections go on", Try: associateByClient},
	{ID: "S200", Line: "322", Show: "enable_snat off: instances without a floating IP stay inside, the VM does not", Try: snatOff},
	{ID: "S201", Line: "316", Show: "a floating IP taken away leaves no rule, no /32 and no conntrack entry", Try: disassociate},
}

// external is br-ex and the two ways out of it (K, L).
var external = []Row{
	{ID: "S210", Line: "326", Show: "ovs-appctl ofproto/trace --names br-ex in_port=tap$g11: untagged to eth1", Try: leavesUntagged},
	{ID: "S211", Line: "326-330", On: "router", Show: "ovs-vsctl --bare --columns=name find Interface external_ids:iface-id=$gport; ovs-vsctl port-to-br tap$g11", Want: set("tap$g11", "br-ex")},
	{ID: "S213", Line: "331-333", On: "router", Show: "ip link show br-ex; ovs-vsctl get Interface br-ex type", Want: has("br-ex", "UP", "internal")},
	{ID: "S214", Line: "335", Show: "a port and a flow made by hand on br-ex are there after the agent's restart", Try: operatorsBridge},
	{ID: "S212", Line: "328", Show: "bridge_mappings with a bridge that is not there: reported, and $fip still answers", Try: missingBridge},
	{ID: "S215", Line: "339,341", Show: "ip addr add 172.24.4.225/28 dev br-ex: the router pings it", Try: gatewayOnBridge},
	{ID: "S216", Line: "343,345", Show: "iptables -A FORWARD -d 172.24.4.224/28 -j ACCEPT stays where it is", Try: forwardInStays},
	{ID: "S217", Line: "346", Show: "iptables -A FORWARD -s 172.24.4.224/28 -j ACCEPT stays where it is", Try: forwardOutStays},
	{ID: "S218", Line: "347", Show: "iptables -t nat -I POSTROUTING 1 -s 172.24.4.224/28 -j MASQUERADE stays first; the far side sees the host's address", Try: masquerade},
	{ID: "S219", Line: "351,353", Show: "ovs-vsctl add-port br-ex eth1: the outside reaches $fip, whose announcement is seen on eth1", Try: directConnection},
}
