package openflow_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"

	"neutrino/host"
	"neutrino/host/unixctl"
)

var (
	asker    = []byte{0xfa, 0x16, 0x3e, 0, 0, 1}
	answerer = []byte{0xfa, 0x16, 0x3e, 0, 0, 3}
)

// lastSent waits for the last frame that a dummy port has sent, out of its capture.
func lastSent(t *testing.T, path string) []byte {
	t.Helper()
	const fileHeader, recordHeader = 24, 16
	var frame []byte
	waitFor(t, "a frame to be sent", func() bool {
		b, err := os.ReadFile(path)
		if err != nil || len(b) <= fileHeader+recordHeader {
			return false
		}
		frame = b[fileHeader+recordHeader:]
		return true
	})
	return frame
}

func (o *ovs) receive(port string, frame []byte) {
	o.t.Helper()
	o.run("ovs-appctl", "netdev-dummy/receive", port, hex.EncodeToString(frame))
}

func addresses(ip string) []byte { return netip.MustParseAddr(ip).AsSlice() }

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestTheARPResponderAnswersAnARPRequest(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-tun", "patch-int")
	o.vsctl("set", "Interface", "patch-int", "options:tx_pcap="+o.path("tx.pcap"))
	h := newHand(t, o, "br-tun")
	want := wantFlows("br-tun", "arp,dl_vlan=1,arp_tpa=10.1.0.3", arpReply)
	mustSync(t, h, want)

	broadcast := bytes.Repeat([]byte{0xff}, 6)
	tag := []byte{0x81, 0x00, 0x00, 0x01}
	arp := []byte{0x08, 0x06, 0, 1, 8, 0, 6, 4, 0}
	o.receive("patch-int", concat(broadcast, asker, tag, arp, []byte{1}, asker, addresses("10.1.0.2"), make([]byte, 6), addresses("10.1.0.3"), make([]byte, 18)))
	answer := concat(asker, answerer, tag, arp, []byte{2}, answerer, addresses("10.1.0.3"), asker, addresses("10.1.0.2"))
	if got := lastSent(t, o.path("tx.pcap")); !bytes.HasPrefix(got, answer) {
		t.Errorf("answer is\n%x\nwant\n%x", got, answer)
	}
}

func TestAnNDResponderAnswersASolicitation(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-tun", "patch-int")
	o.vsctl("set", "Interface", "patch-int", "options:tx_pcap="+o.path("tx.pcap"))
	h := newHand(t, o, "br-tun")
	turn, turnFlow := flow("br-tun", 1, "icmp6,icmp_type=135,nd_target=2001:db8::3", ndTurn)
	fill, fillFlow := flow("br-tun", 1, "icmp6,icmp_type=136,nd_target=2001:db8::3", ndFill)
	fill.Table = 29
	mustSync(t, h, flowMap{turn: turnFlow, fill: fillFlow})

	src, dst, target := addresses("2001:db8::2"), addresses("ff02::1:ff00:3"), addresses("2001:db8::3")
	icmp := concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target, []byte{1, 1}, asker)
	sum := checksum(concat(src, dst, []byte{0, 0, 0, 32, 0, 0, 0, 58}, icmp))
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)
	head := []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255}
	o.receive("patch-int", concat([]byte{0x33, 0x33, 0xff, 0, 0, 3}, asker, head, src, dst, icmp))

	got := lastSent(t, o.path("tx.pcap"))
	if want := concat(asker, answerer, head, target, src, []byte{136, 0}); !bytes.HasPrefix(got, want) {
		t.Fatalf("answer is\n%x\nwant it to begin with\n%x", got, want)
	}
	body := got[54:]
	if want := concat([]byte{0xe0, 0, 0, 0}, target, []byte{2, 1}, answerer); !bytes.Equal(body[4:32], want) {
		t.Errorf("advertisement is\n%x\nwant\n%x", body[4:32], want)
	}
	if checksum(concat(target, src, []byte{0, 0, 0, 32, 0, 0, 0, 58}, body[:32])) != 0 {
		t.Error("the advertisement's checksum is wrong")
	}
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func TestModVLANTagsTheUntaggedAndRetagsTheTagged(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1", "tap2")
	h := newHand(t, o, "br-int")
	mustSync(t, h, wantFlows("br-int",
		"in_port=tap1,vlan_tci=0x0000/0x1fff", "mod_vlan_vid:5,output:tap2",
		"in_port=tap1,dl_vlan=7", "mod_vlan_vid:8,output:tap2"))
	c, err := unixctl.Switch(context.Background(), o.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for packet, want := range map[string]string{
		"in_port=tap1,dl_src=fa:16:3e:00:00:01,dl_dst=fa:16:3e:00:00:02":           "Datapath actions: push_vlan(vid=5,pcp=0),3",
		"in_port=tap1,dl_vlan=7,dl_src=fa:16:3e:00:00:01,dl_dst=fa:16:3e:00:00:02": "Datapath actions: pop_vlan,push_vlan(vid=8,pcp=0),3",
	} {
		got, err := c.Trace(context.Background(), "br-int", packet)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v\n%s\nwant %q", packet, err, got, want)
		}
	}
	k := host.FlowKey{Bridge: "br-int", Priority: 1, Match: "in_port=tap1,dl_vlan=7"}
	if got := read(t, h)[k].Actions; got != "mod_vlan_vid:8,output:tap2" {
		t.Errorf("retagging is read as %q", got)
	}
}
