package check

// setting is the seed's first section.
var setting = []Row{
	{ID: "S002", Line: "16", On: "compute", Show: "ip netns list; echo end", Want: without("qdhcp-", "qrouter-")},
	{ID: "S003", Line: "18", On: "compute", Show: "ovs-vsctl list-ports br-int | grep ^qvo", Want: set("qvo$p11")},
	{ID: "S004", Line: "20", Show: "ping between instances of two hosts over gre, vxlan, geneve, flat and vlan, and none between networks", Try: everyType},
	{ID: "S005", Line: "22", On: "compute", Show: "iptables -S | grep -c neutron-openvswi-sg-chain", Want: like(`^[1-9]`)},
}

// instance is the compute host's firewall bridge (A, B, C).
var instance = []Row{
	{ID: "S010", Line: "34", On: "guest", Show: "ip addr show eth0", Want: has("$mac", "inet $ip/24")},
	{ID: "S011", Line: "34", On: "compute", Show: "ip -d link show tap$p11", Want: all(has("tun type tap"), like("<[^>]*UP"))},
	{ID: "S012", Line: "34", On: "compute", Show: "ip -d link show qbr$p11; cat /sys/class/net/qbr$p11/bridge/multicast_snooping /proc/sys/net/ipv6/conf/qbr$p11/disable_ipv6",
		Want: all(has("ageing_time 0", "stp_state 0"), like(`\n0\n1\z`))},
	{ID: "S013", Line: "34", On: "compute", Show: "ls /sys/class/net/qbr$p11/brif", Want: set("tap$p11", "qvb$p11")},
	{ID: "S014", Line: "36", On: "compute", Show: "ovs-vsctl port-to-br qvo$p11; ovs-vsctl port-to-br tap$p11 2>&1 || true", Want: has("br-int", "no port named tap$p11")},
	{ID: "S015", Line: "38", On: "compute", Show: "sysctl -n net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables", Want: set("1", "1")},
	{ID: "S016", Line: "40,42", On: "compute", Show: "iptables -S | grep tap$p11", Want: like(`(?s)(tap$p11.*\n?){5}`)},
	{ID: "S020", Line: "43", On: "compute", Show: "iptables -S $X-FORWARD", Want: has("--physdev-out tap$p11 --physdev-is-bridged -j $X-sg-chain")},
	{ID: "S021", Line: "44", On: "compute", Show: "iptables -S $X-FORWARD", Want: has("--physdev-in tap$p11 --physdev-is-bridged -j $X-sg-chain")},
	{ID: "S022", Line: "45", On: "compute", Show: "iptables -S $X-INPUT", Want: has("--physdev-in tap$p11 --physdev-is-bridged -j $X-o$p10")},
	{ID: "S023", Line: "46", On: "compute", Show: "iptables -S $X-sg-chain", Want: has("--physdev-out tap$p11 --physdev-is-bridged -j $X-i$p10")},
	{ID: "S024", Line: "47", On: "compute", Show: "iptables -S $X-sg-chain", Want: has("--physdev-in tap$p11 --physdev-is-bridged -j $X-o$p10")},
	{ID: "S025", Line: "49", On: "compute", Show: "iptables -S $X-sg-chain", Want: last("-j ACCEPT")},
	{ID: "S026", Line: "49", On: "compute", Show: "iptables -S $X-o$p10", Want: has("-A $X-o$p10")},
	{ID: "S027", Line: "43-58", On: "compute", Show: "iptables -S FORWARD", Want: inOrder("-j neutron-filter-top", "-j $X-FORWARD")},
	{ID: "S030", Line: "51", Show: "ip link set eth0 address fa:16:3e:66:66:66; ping $dip; iptables -nvxL $X-s$p10", Try: forgedMAC},
	{ID: "S031", Line: "52", Show: "udhcpc in the VM without any egress rule", Try: leaseWithoutEgressRules},
	{ID: "S032", Line: "53", Show: "ping -I 10.1.0.77 $dip; then allow the pair 10.1.0.77", Try: forgedIP},
	{ID: "S033", Line: "54", Show: "udp 67→68 from the VM; tcpdump -i qvo$p11", Try: rogueDHCPServer},
	{ID: "S034", Line: "55", On: "compute", Show: "iptables -S $X-o$p10", Want: has("--state INVALID -j DROP")},
	{ID: "S035", Line: "56", Show: "connection into the VM lives on without egress rules", Try: establishedWithoutEgressRules},
	{ID: "S036", Line: "57", Show: "delete the egress rule: new connections from the VM end", Try: egressRuleRemoved},
	{ID: "S037", Line: "58", On: "compute", Show: "iptables -S $X-o$p10; iptables -S $X-sg-fallback", Want: all(has("-j $X-sg-fallback"), last("-A $X-sg-fallback -j DROP"))},
	{ID: "S040", Line: "60", On: "compute", Show: "iptables -S $X-i$p10", Want: has("-A $X-i$p10")},
	{ID: "S041", Line: "62-63", Show: "POST /v2.0/security-group-rules tcp 8022; iptables -S $X-i$p10", Try: ruleAppears},
	{ID: "S042", Line: "67", On: "compute", Show: "iptables -S $X-i$p10", Want: has("--state INVALID -j DROP")},
	{ID: "S043", Line: "68", On: "compute", Show: "iptables -S $X-i$p10 | sed -n 2p", Want: has("--state RELATED,ESTABLISHED -j RETURN")},
	{ID: "S044", Line: "69", Show: "ping $ip works only while the icmp rule exists", Try: icmpOnlyWithRule},
	{ID: "S045", Line: "70", Show: "tcp 22 is open, 23 is closed", Try: sshOpenTelnetClosed},
	{ID: "S046", Line: "71", Show: "tcp 80 is open", Try: httpOpen},
	{ID: "S047", Line: "72", On: "compute", Show: "iptables -S $X-i$p10", Want: has("-d $ip/32 -p udp -m udp --sport 67 --dport 68 -j RETURN", "-d 255.255.255.255/32 -p udp -m udp --sport 67 --dport 68 -j RETURN")},
	{ID: "S048", Line: "73", Show: "tcp to a closed port raises the counter of $X-sg-fallback", Try: fallbackCounts},
	{ID: "S049", Line: "60-73", On: "compute", Show: "iptables -S $X-i$p10",
		Want: all(inOrder("--state RELATED,ESTABLISHED -j RETURN", "--sport 67 --dport 68", "--dport 22 -j RETURN", "--state INVALID -j DROP", "-j $X-sg-fallback"), last("-j $X-sg-fallback"))},
	{ID: "S050", Line: "75", On: "compute", Show: "ip -d link show qvb$p11", Want: all(has("veth", "master qbr$p11", "PROMISC", "mtu $mtu"))},
	{ID: "S051", Line: "75", On: "compute", Show: "ovs-vsctl br-exists br-int && echo yes", Want: is("yes")},
}

// integration is the compute host's integration bridge (D, E).
var integration = []Row{
	{ID: "S060", Line: "79", On: "compute", Show: "ovs-ofctl dump-flows br-int table=60; ovs-appctl fdb/show br-int", Want: all(has("NORMAL"), like(`\s$lv\s+$mac`))},
	{ID: "S061", Line: "81", On: "compute", Show: "ovs-vsctl show", Want: has("Bridge br-int", "Port qvo$p11", "Port patch-tun", "Port br-int")},
	{ID: "S062", Line: "82", On: "compute", Show: "ovs-vsctl get-fail-mode br-int", Want: is("secure")},
	{ID: "S063", Line: "83,85", On: "compute", Show: "ovs-vsctl get Interface qvo$p11 external_ids", Want: has("iface-id=\"$port\"", "attached-mac=\"$mac\"", "vm-uuid=\"$uuid\"", "iface-status=active")},
	{ID: "S064", Line: "84", On: "compute", Show: "ovs-vsctl get Port qvo$p11 tag", Want: like(`^[1-9][0-9]*\z`)},
	{ID: "S065", Line: "86-89", On: "compute", Show: "ovs-vsctl get Interface patch-tun type options:peer", Want: set("patch", "patch-int")},
	{ID: "S066", Line: "90-92", On: "compute", Show: "ovs-vsctl get Interface br-int type", Want: is("internal")},
	{ID: "S067", Line: "94", On: "compute", Show: "test $(cat /sys/class/net/qvo$p11/iflink) = $(cat /sys/class/net/qvb$p11/ifindex) && echo peers", Want: is("peers")},
	{ID: "S068", Line: "94", On: "compute", Show: "ovs-appctl ofproto/trace --names br-int in_port=qvo$p11,dl_src=$mac,dl_dst=$dmac,ip,nw_src=$ip,nw_dst=$dip", Want: has("bridge(\"br-tun\")", "dl_vlan=$lv", "$key->tun_id", "$clocal")},
	{ID: "S069", Line: "94", Show: "tcpdump -e -i qvo$p11: a frame from the tunnel is untagged", Try: untaggedInside},
	{ID: "S070", Line: "96", Show: "two networks on one host have two tags, and no broadcast passes between them", Try: networksAreApart},
	{ID: "S071", Line: "98", On: "compute", Show: "ovs-appctl ofproto/trace --names br-int in_port=qvo$p11,dl_src=$mac,dl_dst=$dmac,ip,nw_src=$ip", Want: has("bridge(\"br-tun\")")},
}

// tunnel is the compute host's tunnel bridge (F, G).
var tunnel = []Row{
	{ID: "S001", Line: "14-16", Show: "ovs-vsctl get Interface $tonet type; ping across hosts", Try: acrossHosts},
	{ID: "S080", Line: "102", Show: "tcpdump on the underlay: encapsulated with key $key", Try: encapsulatedWithKey},
	{ID: "S081", Line: "102", Show: "ovs-ofctl del-flows br-tun table=$intable,tun_id=$key: the agent puts it back", Try: flowIsRepaired},
	{ID: "S082", Line: "104", On: "compute", Show: "ovs-ofctl dump-flows br-tun", Want: has("table=0", "table=2", "table=3", "table=4", "table=20", "table=22")},
	{ID: "S083", Line: "106,108", Show: "a host without an instance has no flow with a key or a VLAN", Try: dropOnlyBeforeInstances},
	{ID: "S085", Line: "112,121", On: "compute", Show: "ovs-ofctl dump-flows br-tun table=$intable", Want: like(`tun_id=$key,in_port=\S+ actions=mod_vlan_vid:$lv,output:`)},
	{ID: "S086", Line: "113,146", On: "compute", Show: "ovs-appctl ofproto/trace --names br-tun in_port=$tonet,tun_id=$key,dl_src=$dmac,dl_dst=$mac,ip", Want: has("qvo$p11", "push_vlan", "bridge(\"br-int\")")},
	{ID: "S087", Line: "114,152", Show: "ovs-appctl ofproto/trace --names br-tun in_port=patch-int,dl_vlan=$lv: unicast to one tunnel, broadcast to all", Try: unicastAndFlood},
	{ID: "S088", Line: "115", On: "compute", Show: "ovs-appctl ofproto/trace --names br-tun in_port=$tonet,tun_id=0xdead,dl_dst=$mac", Want: has("Datapath actions: drop")},
	{ID: "S089", Line: "117", On: "compute", Show: "ovs-ofctl dump-flows br-tun | grep -E 'tun_id=$key|dl_vlan=$lv'; ovs-vsctl get Port qvo$p11 tag", Want: all(like(`tun_id=$key,in_port=\S+ actions=mod_vlan_vid:$lv`), last("$lv"))},
	{ID: "S090", Line: "112-115", Show: "ovs-ofctl dump-flows br-tun: n_packets rise while pinging", Try: countersRise},
	{ID: "S091", Line: "125", On: "compute", Show: "ovs-ofctl show br-tun", Want: has("patch-int", "$tonet")},
	{ID: "S092", Line: "126", On: "compute", Show: "ovs-vsctl --bare --columns=datapath_id list Bridge | sort | uniq -d | grep . || echo unique", Want: is("unique")},
	{ID: "S093", Line: "127-129", On: "compute", Show: "ovs-ofctl show br-tun >/dev/null && ovs-ofctl -O OpenFlow13 show br-tun >/dev/null && echo both", Want: is("both")},
	{ID: "S094", Line: "130-133", On: "compute", Show: "ovs-vsctl get Interface patch-int options:peer", Want: is("patch-tun")},
	{ID: "S095", Line: "134-137", On: "compute", Show: "ovs-vsctl get Interface $tonet type options", Want: has("$type", "in_key=flow", "out_key=flow", "local_ip=\"$clocal\"", "remote_ip=\"$nlocal\"")},
	{ID: "S096", Line: "138-141", On: "compute", Show: "ovs-vsctl get Interface br-tun type", Want: is("internal")},
	{ID: "S097", Line: "142", On: "compute", Show: "ovs-ofctl show br-tun | tail -1", Want: has("frags=normal")},
}
