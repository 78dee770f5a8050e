package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"neutrino/lab"
)

// damage is something that somebody does to a host by hand.
type damage struct {
	name   string
	on     func(*world) *lab.Host
	do     string // shell text; {…} are replaced, see fill
	intact string // shell text whose output is the same before and after
	// object and surface are what the log and the status say was repaired.
	object, surface string
}

func compute(w *world) *lab.Host { return w.compute }
func network(w *world) *lab.Host { return w.network }

const (
	showFlows = `for b in br-int br-tun; do ovs-ofctl --no-stats --names dump-flows $b | sed 's/cookie=[^,]*, //' | sort; done`
	showRules = `{ iptables-save; ip6tables-save; } | grep -v -e '^[#:]' -e operator -e 203.0.113 | sort`
	showSets  = `ipset save | sed 's/ initval.*//' | sort`
	showSpace = `ip netns exec {ns} sh -c 'ip -br addr show dev {inside} | sed s/@if[0-9]*//; ip route; sysctl -n net.ipv4.ip_nonlocal_bind; iptables-save -t mangle | grep -c CHECKSUM'; ` +
		`ovs-vsctl get Port {tap} tag`
	serving = `ip netns exec {ns} busybox netstat -lun | grep -c ':67 '`
)

// damages are each repaired in its turn; the traffic is tried after each.
func damages() []damage {
	return []damage{
		{"all flows of br-int deleted", compute, "ovs-ofctl del-flows br-int", showFlows, "bridge/br-int", "flows"},
		{"all flows of br-tun deleted", compute, "ovs-ofctl del-flows br-tun", showFlows, "bridge/br-tun", "flows"},
		{"all flows of br-tun deleted on the network host", network, "ovs-ofctl del-flows br-tun", showFlows, "bridge/br-tun", "flows"},
		{"a flow added to br-int that lets everything pass", compute, "ovs-ofctl add-flow br-int 'table=0,priority=60000,actions=NORMAL'", showFlows, "host", "flows"},
		{"a chain of a port flushed", compute, "iptables -F neutron-openvswi-o{p10}", showRules, "port/{port}", "chains"},
		{"the IPv6 chain of a port flushed", compute, "ip6tables -F neutron-openvswi-i{p10}", showRules, "port/{port}", "chains"},
		{"a rule that accepts everything put first", compute, "iptables -I neutron-openvswi-sg-chain -j ACCEPT", showRules, "firewall", "chains"},
		{"a chain and the jumps to it deleted", compute, "iptables-save -t filter | grep -v openvswi-sg-chain | iptables-restore", showRules, "firewall", "chains"},
		{"the whole filter table flushed", compute, "iptables -F; iptables -X", showRules, "firewall", "hooks"},
		{"the hook in FORWARD deleted", compute, "iptables -D FORWARD -j neutron-openvswi-FORWARD", showRules, "firewall", "hooks"},
		{"an ipset emptied", compute, "ipset flush {set}", showSets, "", "sets"},
		{"an ipset and the rules with it destroyed", compute, "for i in $(seq 50); do iptables-save | grep -v {set} | iptables-restore; busybox usleep 8000; ipset destroy {set} 2>/dev/null && break; done", showSets + ";" + showRules, "", "sets"},
		{"the DHCP namespace deleted", network, "ip netns delete {ns}", showSpace + ";" + serving, "port/{dhcp}", "namespaces"},
		{"the DHCP port's device deleted", network, "ip link delete {tap}", showSpace + ";" + serving, "port/{dhcp}", "links"},
		{"its end in the namespace set down", network, "ip -n {ns} link set {inside} down", showSpace, "port/{dhcp}", "links"},
		{"its address removed", network, "ip -n {ns} addr flush dev {inside} scope global", showSpace, "port/{dhcp}", "addresses"},
		{"its port removed from br-int", network, "ovs-vsctl del-port br-int {tap}", showSpace, "port/{dhcp}", "ovs ports"},
		{"its tag changed", network, "ovs-vsctl set Port {tap} tag=4000", showSpace, "port/{dhcp}", "ovs ports"},
		{"the tag of an instance's port changed", compute, "ovs-vsctl set Port {qvo} tag=4000", "ovs-vsctl get Port {qvo} tag", "port/{port}", "vifs"},
		{"the patch port removed", compute, "ovs-vsctl del-port br-tun patch-int", showFlows, "bridge/br-tun", "ovs ports"},
		{"the tunnel removed", compute, "ovs-vsctl del-port br-tun gre-c000020b", showFlows, "", "ovs ports"},
		{"dnsmasq killed", network, "kill -9 $(cat {dir}/pid)", "cat {dir}/host;" + serving, "network/{net}", "processes"},
		{"the hosts file edited", network, "echo 52:54:00:00:00:01,evil,10.1.0.99 >> {dir}/host", "cat {dir}/host", "network/{net}", "files"},
		{"the options file removed", network, "rm {dir}/opts", "cat {dir}/opts", "network/{net}", "files"},
		{"the whole directory removed", network, "mv {dir} /var/lib/neutron/away; rm -r /var/lib/neutron/away", "cat {dir}/host {dir}/opts;" + serving, "network/{net}", "files"},
		{"the firewall switched off by sysctl", compute, "sysctl -qw net.bridge.bridge-nf-call-iptables=0", "sysctl -n net.bridge.bridge-nf-call-iptables", "firewall", "sysctls"},
	}
}

// fill puts names into a text: of a light instance's port, and of the DHCP server.
func (w *world) fill(text string, g *lab.Guest, set string) string {
	return strings.NewReplacer(
		"{port}", g.PortID, "{p10}", g.PortID[:10], "{qvo}", "qvo"+g.PortID[:11], "{set}", set,
		"{net}", w.seed, "{ns}", "qdhcp-"+w.seed, "{dir}", dhcpRoot+"/"+w.seed,
		"{dhcp}", w.dhcpPort, "{tap}", "tap"+w.dhcpPort[:11], "{inside}", "ns-"+w.dhcpPort[:11],
	).Replace(text)
}

// repairTime is how long a repair may take on a busy machine.
const repairTime = 5 * time.Second

func TestWhatIsBrokenByHandIsRepairedAndSaid(t *testing.T) {
	w := story(t)
	a := w.instance(lab.InstanceSpec{Name: "repair-a"})
	b := w.instance(lab.InstanceSpec{Name: "repair-b"})
	w.operator()
	sets := strings.Fields(w.sh(w.compute, "ipset list -n | grep NIPv4"))
	if len(sets) == 0 {
		t.Fatal("compute1 has no ipset: the default group names itself")
	}
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) {
			w := &world{T: t, ctx: w.ctx, lab: w.lab, api: w.api, compute: w.compute, network: w.network, server: w.server, seed: w.seed, dhcpPort: w.dhcpPort}
			h := d.on(w)
			intact := w.fill(d.intact, a, sets[0])
			before, log := w.sh(h, intact), w.journal(h)
			w.sh(h, w.fill(d.do, a, sets[0]))
			took := w.until(repairTime, func() error {
				after, err := w.look(h, intact)
				if err == nil && after != before {
					err = difference(before, after)
				}
				return err
			})
			object := w.fill(d.object, a, sets[0])
			w.until(repairTime, func() error { return log.says("repaired", object, "surface="+quoted(d.surface)) })
			w.until(repairTime, func() error { return w.saysRepaired(h, object, d.surface) })
			t.Logf("repaired after %v", took.Round(time.Millisecond))
			w.until(repairTime, func() error { return errors.Join(a.Ping(w.ctx, b.Address), a.Ping(w.ctx, lab.SeedDHCP)) })
			w.asWanted(repairTime)
		})
	}
	for _, g := range []*lab.Guest{a, b} {
		lease, err := g.AwaitLease(w.ctx)
		w.must(err)
		if lease.Address != g.Address {
			t.Errorf("%s has %s, before %s", g.Name, lease.Address, g.Address)
		}
	}
	w.operatorIsThere()
}

// difference names the lines that only one of two texts has.
func difference(before, after string) error {
	var out []string
	for _, side := range [...]struct{ sign, text, other string }{{"-", before, after}, {"+", after, before}} {
		lines := strings.Split(side.other, "\n")
		for _, l := range strings.Split(side.text, "\n") {
			if !slices.Contains(lines, l) {
				out = append(out, side.sign+l)
			}
		}
	}
	return fmt.Errorf("not as before:\n%s", strings.Join(out, "\n"))
}

// quoted is a word as the log writes it.
func quoted(s string) string {
	if strings.Contains(s, " ") {
		return `"` + s + `"`
	}
	return s
}

func (w *world) saysRepaired(h *lab.Host, object, surface string) error {
	st, err := w.status(h)
	if err != nil {
		return err
	}
	for _, r := range st.Repaired {
		if strings.Contains(r.Object, object) && r.Surface == surface {
			return nil
		}
	}
	return fmt.Errorf("%s names no repair of %s of %s: %v", h.Name, surface, object, st.Repaired)
}

// operator makes things that are not ours.
func (w *world) operator() {
	w.Helper()
	w.Cleanup(func() {
		ctx := context.Background()
		_, err := w.compute.Run(ctx, "sh", "-c", `iptables -D FORWARD -s 203.0.113.1 -j ACCEPT; iptables -F operator; iptables -X operator
			ovs-vsctl --if-exists del-port op0 -- --if-exists del-br br-op; ip netns delete operator; ipset destroy operator
			rm -r /var/lib/neutron/operator; true`)
		w.late(err)
		_, err = w.network.Run(ctx, "sh", "-c", "ip netns delete operator; ip link delete operator0; ip route del 203.0.113.0/24 dev lo; true")
		w.late(err)
	})
	w.sh(w.compute, `iptables -I FORWARD -s 203.0.113.1 -j ACCEPT; iptables -N operator; iptables -A operator -j RETURN
		ovs-vsctl add-port br-int op0 -- set Interface op0 type=internal; ip netns add operator; ipset create operator hash:net
		ovs-vsctl add-br br-op -- set Bridge br-op datapath_type=netdev; ovs-ofctl add-flow br-op priority=7,actions=drop
		mkdir -p /var/lib/neutron/operator; echo x > /var/lib/neutron/operator/file`)
	w.sh(w.network, `ip netns add operator; ip link add operator0 type veth peer name operator1; ip route add 203.0.113.0/24 dev lo`)
}

// operatorIsThere looks for them, now and after the agents were started again.
// Rules are put again first: one of the stories flushed the operator's table too.
func (w *world) operatorIsThere() {
	w.Helper()
	w.sh(w.compute, "iptables -C FORWARD -s 203.0.113.1 -j ACCEPT 2>/dev/null || iptables -A FORWARD -s 203.0.113.1 -j ACCEPT; iptables -N operator 2>/dev/null || true")
	for _, h := range []*lab.Host{w.compute, w.network} {
		w.must(h.Kill(w.ctx, agentProcess))
		w.must(h.Restart(w.ctx, agentProcess))
	}
	w.asWanted(10 * time.Second)
	w.sh(w.compute, `iptables -C FORWARD -s 203.0.113.1 -j ACCEPT; iptables -S operator >/dev/null
		ovs-vsctl port-to-br op0; ip netns | grep -q operator; ipset list operator >/dev/null
		ovs-ofctl dump-flows br-op | grep -q priority=7; test -f /var/lib/neutron/operator/file`)
	w.sh(w.network, "ip netns | grep -q operator; ip link show operator0 >/dev/null; ip route | grep -q 203.0.113.0/24")
}
