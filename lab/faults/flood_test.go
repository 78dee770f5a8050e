package faults

import (
	"fmt"
	"strings"
	"testing"

	"neutrino/lab"
)

// What one instance sends to another is seen by no third port (CVE-2019-15753):
// not on the same network, not on another tenant's, not on another host. The
// third ports have no filter, so that a frame which is flooded does arrive.
// The firewall bridges forget at once what they saw, as Nova makes them, and
// that is safe only as long as each has two ports.
func TestS18ForeignUnicastReachesNoThirdPort(t *testing.T) {
	w := story(t)
	a, b, me, peer := w.spoofers()
	unfiltered := lab.Object{"port_security_enabled": false}
	same := w.instance(lab.InstanceSpec{Name: "third-same", Network: a.NetworkID, Port: unfiltered})
	foreign := w.instance(lab.InstanceSpec{Name: "third-foreign", Network: w.subnet("third", "10.67.0.0/24"), Port: unfiltered})
	serves := w.list("ports", lab.Query{"network_id": a.NetworkID, "device_owner": "network:dhcp"})[0]
	dhcp := party{mac: serves.Text("mac_address"), ip4: serves.Addresses()[0]}
	inNetwork := func(id string, argv ...string) []string {
		return append([]string{"ip", "netns", "exec", "qdhcp-" + id, testBinary(), framesCommand}, argv...)
	}
	at := map[string]*ear{
		"the peer":                         w.listen(b.Command(w.ctx, testBinary(), framesCommand, "listen", w.nic(b))),
		"a third on the same network":      w.listen(same.Command(w.ctx, testBinary(), framesCommand, "listen", w.nic(same))),
		"a third on another network":       w.listen(foreign.Command(w.ctx, testBinary(), framesCommand, "listen", w.nic(foreign))),
		"the DHCP server, on another host": w.listen(w.network.Command(w.ctx, inNetwork(a.NetworkID, "listen", "ns-"+serves.ID()[:11])...)),
	}
	for _, bridge := range []*lab.Guest{a, b, same, foreign} {
		qbr := "qbr" + bridge.PortID[:11]
		ports := strings.Fields(w.sh(w.compute, "ip -o link show master "+qbr+" | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/' | sort"))
		if len(ports) != 2 {
			t.Errorf("%s forgets what it saw and has the ports %v: a third sees what is for the others", qbr, ports)
		}
	}

	const each = 50
	to := map[string]party{"the peer": peer, "the DHCP server, on another host": dhcp}
	first := map[string]int{"the peer": 0, "the DHCP server, on another host": each}
	var frames [][]byte
	for name, p := range to {
		for n := range each {
			frames = append(frames, unicast(me, p, markOf(first[name]+n)))
		}
	}
	end := markOf(999)
	frames = append(frames, ether(me.mac, everybody, etherARP, arp(1, me.mac, me.ip4, "10.66.0.200", end)))
	w.send(a, w.nic(a), frames)
	// A broadcast on each network ends the table: who does not hear it is deaf.
	ends := w.list("ports", lab.Query{"network_id": foreign.NetworkID, "device_owner": "network:dhcp"})[0]
	w.emit(w.network.Command(w.ctx, inNetwork(foreign.NetworkID, "send", "ns-"+ends.ID()[:11])...),
		[][]byte{ether(ends.Text("mac_address"), everybody, etherTest, end[:])})
	for name, e := range at {
		w.until(repairTime, func() error {
			if e.heard(end) == 0 {
				return fmt.Errorf("%s does not hear a broadcast of its network", name)
			}
			return nil
		})
	}
	for name, e := range at {
		for of, from := range first {
			n := 0
			for i := range each {
				n += e.heard(markOf(from + i))
			}
			if want := map[bool]int{true: each}[name == of]; n != want {
				t.Errorf("%s saw %d frames of %d to %s, want %d", name, n, each, of, want)
			}
		}
	}
}

// unicast is a frame from one party to another: the families take turns.
func unicast(from, to party, m mark) []byte {
	if to.ip6 != "" && m[5]%2 == 1 {
		return ether(from.mac, to.mac, etherIPv6, udp(from.ip6, to.ip6, [2]uint16{4000, 4000}, m))
	}
	return ether(from.mac, to.mac, etherIPv4, udp(from.ip4, to.ip4, [2]uint16{4000, 4000}, m))
}
