package faults

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"neutrino/lab"
)

const protoGRE = 47

// gre is a frame under a tunnel key (RFC 2890): the key is present, and what
// follows is Ethernet.
func gre(key uint32, frame []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0x20, 0, 0x65, 0x58}, key)
	return append(b, frame...)
}

// A host that has a network sends GRE with the key of another one, which it does
// not have: what it sends for its own network arrives, the other does not.
func TestAPeerSpeaksForItsOwnNetworksOnly(t *testing.T) {
	w := story(t)
	unfiltered := lab.Object{"port_security_enabled": false}
	own := w.instance(lab.InstanceSpec{Name: "key-own", Network: w.subnet("key-own", "10.69.0.0/24"), Port: unfiltered})
	pinged := w.steadyPing(own, "10.69.0.2")
	foreign := w.create("networks", lab.Object{"name": "key-foreign"})
	w.create("subnets", lab.Object{"network_id": foreign.ID(), "ip_version": 4, "cidr": "10.69.1.0/24", "enable_dhcp": false})
	other, err := w.lab.AddInstance(w.ctx, lab.InstanceSpec{Name: "key-foreign", Kind: lab.KindNamespace, Network: foreign.ID(), Port: unfiltered})
	w.must(err)
	w.Cleanup(func() { w.late(w.lab.RemoveInstance(context.Background(), "key-foreign")) })
	w.must(other.AwaitActive(w.ctx))
	w.asWanted(repairTime)

	// Tunnel packets go between the local ports of the underlay's bridges.
	const device = "br-phy"
	end := func(h *lab.Host) (mac, ip string) {
		return strings.TrimSpace(w.sh(h, "cat /sys/class/net/"+device+"/address")),
			strings.TrimSpace(w.sh(h, "ip -4 -o address show dev "+device+" | awk '{print $4}' | cut -d/ -f1"))
	}
	fromMAC, fromIP := end(w.network)
	toMAC, toIP := end(w.compute)
	at := map[*lab.Guest]*ear{}
	var frames [][]byte
	for i, g := range []*lab.Guest{other, own} {
		at[g] = w.listen(g.Command(w.ctx, testBinary(), framesCommand, "listen", w.nic(g)))
		n, err := w.api.Get(w.ctx, "networks", g.NetworkID)
		w.must(err)
		m := markOf(6000 + i)
		tunnelled := gre(uint32(n.Int("provider:segmentation_id")), ether("fa:16:3e:66:66:66", g.MAC, etherTest, m[:]))
		frames = append(frames, ether(fromMAC, toMAC, etherIPv4, packet(fromIP, toIP, protoGRE, tunnelled)))
	}
	// The frame of the network that the host has comes last: when it is here, the
	// other one would be too.
	w.until(repairTime, func() error {
		w.emit(w.network.Command(w.ctx, testBinary(), framesCommand, "send", device), frames)
		if at[own].heard(markOf(6001)) == 0 {
			return fmt.Errorf("a frame with the key of a network that the sender has does not arrive")
		}
		return nil
	})
	pinged()
	if n := at[other].heard(markOf(6000)); n > 0 {
		t.Errorf("%d frames with the key of a network that the sender does not have arrived", n)
	}
}
