package openflow_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neutrino/host"
	"neutrino/host/openflow"
)

// form is a flow as a plan writes it, and how ovs-ofctl --names -O OpenFlow14
// shows it.
type form struct{ match, actions, shown string }

var matches = []form{
	{"", "drop", "priority=1 actions=drop"},
	{"in_port=tap1", "drop", "priority=1,in_port=tap1 actions=drop"},
	{"in_port=br-int", "drop", "priority=1,in_port=LOCAL actions=drop"},
	{"dl_vlan=5", "drop", "priority=1,dl_vlan=5 actions=drop"},
	{"vlan_tci=0x0000/0x1fff", "drop", "priority=1,vlan_tci=0x0000/0x1fff actions=drop"},
	{"in_port=tap1,vlan_tci=0x1000/0x1000", "drop", "priority=1,in_port=tap1,vlan_tci=0x1000/0x1000 actions=drop"},
	{"dl_src=fa:16:3e:00:00:01", "drop", "priority=1,dl_src=fa:16:3e:00:00:01 actions=drop"},
	{"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", "drop", "priority=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=drop"},
	{"dl_dst=00:00:00:00:00:00/01:00:00:00:00:00", "drop", "priority=1,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00 actions=drop"},
	{"dl_type=0x88cc", "drop", "priority=1,dl_type=0x88cc actions=drop"},
	{"dl_type=0x0800", "drop", "priority=1,ip actions=drop"},
	{"arp", "drop", "priority=1,arp actions=drop"},
	{"rarp,in_port=tap1", "drop", "priority=1,rarp,in_port=tap1 actions=drop"},
	{"in_port=tap2,ipv6", "drop", "priority=1,ipv6,in_port=tap2 actions=drop"},
	{"icmp", "drop", "priority=1,icmp actions=drop"},
	{"icmp,icmp_type=8,icmp_code=0", "drop", "priority=1,icmp,icmp_type=8,icmp_code=0 actions=drop"},
	{"icmp6,icmp_type=136,nd_target=fe80::/64", "drop", "priority=1,icmp6,icmp_type=136,nd_target=fe80::/64 actions=drop"},
	{"in_port=tap1,icmp6,icmp_type=135,nd_target=2001:db8::5,nd_sll=fa:16:3e:00:00:01", "drop", "priority=1,icmp6,in_port=tap1,icmp_type=135,nd_target=2001:db8::5,nd_sll=fa:16:3e:00:00:01 actions=drop"},
	{"icmp6,icmp_type=136,icmp_code=0,nd_tll=fa:16:3e:00:00:01", "drop", "priority=1,icmp6,icmp_type=136,icmp_code=0,nd_tll=fa:16:3e:00:00:01 actions=drop"},
	{"arp,arp_op=2,arp_spa=10.0.0.0/8,arp_tpa=10.1.0.3,arp_sha=fa:16:3e:00:00:01,arp_tha=ff:ff:ff:ff:ff:ff", "drop", "priority=1,arp,arp_spa=10.0.0.0/8,arp_tpa=10.1.0.3,arp_op=2,arp_sha=fa:16:3e:00:00:01,arp_tha=ff:ff:ff:ff:ff:ff actions=drop"},
	{"ip,nw_src=10.1.0.2,nw_dst=10.1.0.0/24", "drop", "priority=1,ip,nw_src=10.1.0.2,nw_dst=10.1.0.0/24 actions=drop"},
	{"ipv6,ipv6_src=2001:db8::/32,ipv6_dst=ff02::1", "drop", "priority=1,ipv6,ipv6_src=2001:db8::/32,ipv6_dst=ff02::1 actions=drop"},
	{"udp,tp_src=68,tp_dst=67", "drop", "priority=1,udp,tp_src=68,tp_dst=67 actions=drop"},
	{"tcp,tp_dst=0x50/0xfff0", "drop", "priority=1,tcp,tp_dst=0x50/0xfff0 actions=drop"},
	{"udp6,tp_src=546", "drop", "priority=1,udp6,tp_src=546 actions=drop"},
	{"tcp6,tp_dst=22", "drop", "priority=1,tcp6,tp_dst=22 actions=drop"},
	{"sctp,tp_dst=22", "drop", "priority=1,sctp,tp_dst=22 actions=drop"},
	{"ip,nw_proto=47", "drop", "priority=1,ip,nw_proto=47 actions=drop"},
	{"tun_id=0x2", "drop", "priority=1,tun_id=0x2 actions=drop"},
	{"tun_id=7,in_port=tap1", "drop", "priority=1,tun_id=0x7,in_port=tap1 actions=drop"},
	{"reg0=5,reg6=0x10/0xff,reg7=0", "drop", "priority=1,reg0=0x5,reg6=0x10/0xff,reg7=0 actions=drop"},
	{"ct_state=+trk-new,ip", "drop", "priority=1,ct_state=-new+trk,ip actions=drop"},
	{"ct_state=+est-rel+rpl,ct_zone=5,ct_mark=1,ip", "drop", "priority=1,ct_state=+est-rel+rpl,ct_zone=5,ct_mark=0x1,ip actions=drop"},
	{"pkt_mark=0x1/0xf", "drop", "priority=1,pkt_mark=0x1/0xf actions=drop"},
	{"metadata=0x5,conj_id=9,ip", "drop", "priority=1,conj_id=9,ip,metadata=0x5 actions=drop"},
}

var actions = []form{
	{"reg0=1", "output:tap1,output:tap2", "output:tap1,output:tap2"},
	{"reg0=2", "NORMAL", "NORMAL"},
	{"reg0=3", "IN_PORT", "IN_PORT"},
	{"reg0=4", "resubmit(,20)", "resubmit(,20)"},
	{"reg0=5", "goto_table:60", "goto_table:60"},
	{"reg0=6", "set_field:0x5->reg6,goto_table:60", "set_field:0x5->reg6,goto_table:60"},
	{"reg0=7,tun_id=2", "mod_vlan_vid:1,output:tap1", "push_vlan:0x8100,set_field:4097->vlan_vid,output:tap1"},
	{"reg0=8,dl_vlan=7", "mod_vlan_vid:8,NORMAL", "set_field:4104->vlan_vid,NORMAL"},
	{"reg0=9,dl_vlan=7", "strip_vlan,set_tunnel:2,output:tap1,tap2=", ""},
	{"reg0=10,dl_vlan=7", "strip_vlan,set_tunnel:2,output:tap1,output:tap2", "pop_vlan,set_field:0x2->tun_id,output:tap1,output:tap2"},
	{"reg0=11", "set_field:0x2->tun_id,output:tap1", "set_field:0x2->tun_id,output:tap1"},
	{"reg0=12", "set_tunnel:0x100000000,output:tap1", "set_field:0x100000000->tun_id,output:tap1"},
	{"reg0=13", "set_field:fa:16:3e:00:00:01->eth_src,mod_dl_dst:fa:16:3e:00:00:02,NORMAL", "set_field:fa:16:3e:00:00:01->eth_src,set_field:fa:16:3e:00:00:02->eth_dst,NORMAL"},
	{"reg0=14,ip", "set_field:10.0.0.1->nw_src,set_field:10.0.0.2->ip_dst,NORMAL", "set_field:10.0.0.1->ip_src,set_field:10.0.0.2->ip_dst,NORMAL"},
	{"reg0=15", "load:0x7->NXM_NX_REG5[],load:0x3->NXM_NX_REG6[0..15],goto_table:99", "set_field:0x7->reg5,load:0x3->NXM_NX_REG6[0..15],goto_table:99"},
	{"reg0=16", "load:0x1->NXM_NX_REG5[3],goto_table:99", "load:0x1->NXM_NX_REG5[3],goto_table:99"},
	{"reg0=17", "set_field:0x5/0x5->reg1,goto_table:99", "load:0x1->NXM_NX_REG1[0],load:0x1->NXM_NX_REG1[2],goto_table:99"},
	{"reg0=18,ip", "ct(table=72,zone=NXM_NX_REG6[0..15])", "ct(table=72,zone=NXM_NX_REG6[0..15])"},
	{"reg0=19,ip", "ct(commit,zone=5),goto_table:99", "ct(commit,zone=5),goto_table:99"},
	{"reg0=20,ip", "ct(commit,force,zone=reg6[0..15],exec(set_field:0x1->ct_mark))", "ct(commit,force,zone=NXM_NX_REG6[0..15],exec(set_field:0x1->ct_mark))"},
	{"reg0=21,ip", "ct_clear,resubmit(,71)", "ct_clear,resubmit(,71)"},
	{"reg0=22", "note:01.02,NORMAL", "note:01.02.00.00.00.00,NORMAL"},
	{"reg0=23,ip", "conjunction(8,1/2)", "conjunction(8,1/2)"},
	{"reg0=24,ip", "dec_ttl,output:tap1", "dec_ttl,output:tap1"},
	{"reg0=25", "load:0x1005->NXM_OF_VLAN_TCI[0..12],NORMAL", "load:0x1005->NXM_OF_VLAN_TCI[0..12],NORMAL"},
	{"reg0=26,dl_vlan=7", "push_vlan:0x8100,mod_vlan_vid:9,NORMAL", "push_vlan:0x8100,set_field:4105->vlan_vid,NORMAL"},
	{"reg0=27", "resubmit(tap2,5),LOCAL", "resubmit(tap2,5),LOCAL"},
	{"reg0=28,arp", arpReply, "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:00:00:03->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:fa:16:3e:00:00:03->arp_sha,set_field:10.1.0.3->arp_spa,IN_PORT"},
	{"reg0=29,icmp6,icmp_type=135", ndTurn, "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:00:00:03->eth_src,move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:2001:db8::3->ipv6_src,set_field:136->icmpv6_type,set_field:2->nd_options_type,set_field:3758096384->nd_reserved,resubmit(,29)"},
	{"reg0=29,icmp6,icmp_type=136", ndFill, "set_field:fa:16:3e:00:00:03->nd_tll,set_field:2001:db8::3->nd_target,IN_PORT"},
}

const arpReply = "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:00:00:03->eth_src," +
	"load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]," +
	"load:0xfa163e000003->NXM_NX_ARP_SHA[],load:0x0a010003->NXM_OF_ARP_SPA[],IN_PORT"

// A neighbour solicitation becomes an advertisement in two steps: nd_tll can
// only be set where the match says that the packet is an advertisement.
const (
	ndTurn = "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:00:00:03->eth_src," +
		"move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:2001:db8::3->ipv6_src,set_field:136->icmpv6_type," +
		"set_field:2->nd_options_type,set_field:0xe0000000->nd_reserved,resubmit(,29)"
	ndFill = "set_field:fa:16:3e:00:00:03->nd_tll,set_field:2001:db8::3->nd_target,IN_PORT"
)

func allForms() (want flowMap, shown map[host.FlowKey]string) {
	want, shown = flowMap{}, map[host.FlowKey]string{}
	add := func(table uint8, f form, line string) {
		if f.shown == "" {
			return
		}
		k, v := flow("br-int", 1, f.match, f.actions)
		k.Table = table
		want[k], shown[k] = v, line
	}
	for i, f := range matches {
		add(uint8(100+i), f, f.shown)
	}
	for i, f := range actions {
		add(uint8(i), f, f.shown)
	}
	return want, shown
}

func TestEveryFormOfAFlowComesBackFromTheSwitchAsItWasWanted(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1", "tap2")
	h := newHand(t, o, "br-int")
	want, shown := allForms()
	if r := mustSync(t, h, want); r.Puts != len(want) {
		t.Errorf("put %d flows, want %d", r.Puts, len(want))
	}

	lines := map[string]string{}
	for _, l := range o.flows("br-int") {
		table := "0"
		if strings.HasPrefix(l, "table=") {
			table, l, _ = strings.Cut(strings.TrimPrefix(l, "table="), ", ")
		}
		lines[table] = l
	}
	for k, s := range shown {
		got := lines[fmt.Sprint(k.Table)]
		if strings.HasPrefix(s, "priority") {
			if got != s {
				t.Errorf("match %q is shown as\n  %s\nwant\n  %s", k.Match, got, s)
			}
		} else if _, a, _ := strings.Cut(got, "actions="); a != s {
			t.Errorf("actions %q are shown as\n  %s\nwant\n  %s", want[k].Actions, a, s)
		}
	}

	canonical, err := h.Canonicalise(want)
	if err != nil {
		t.Fatal(err)
	}
	fresh := newHand(t, o, "br-int")
	if diff := cmp.Diff(withoutWhy(canonical), withoutWhy(read(t, fresh))); diff != "" {
		t.Errorf("read differs from wanted (-want +read):\n%s", diff)
	}
	if r := mustSync(t, fresh, want); r.Puts+r.Drops != 0 {
		t.Errorf("a fresh hand on an unchanged switch writes: %d puts, %d drops", r.Puts, r.Drops)
	}
}

func withoutWhy(m flowMap) flowMap {
	m = maps.Clone(m)
	for k, f := range m {
		f.Why = host.Why{}
		m[k] = f
	}
	return m
}

func TestCanonicalTextOfCanonicalTextIsItself(t *testing.T) {
	want, _ := allForms()
	for k, f := range want {
		k1, f1, err := openflow.Canonical(k, f)
		if err != nil {
			t.Errorf("%q %q: %v", k.Match, f.Actions, err)
			continue
		}
		k2, f2, err := openflow.Canonical(k1, f1)
		if err != nil || k2 != k1 || f2.Actions != f1.Actions {
			t.Errorf("%q %q becomes %q %q: %v", k1.Match, f1.Actions, k2.Match, f2.Actions, err)
		}
	}
}
