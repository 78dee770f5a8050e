package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"neutrino/lab"
)

func testBinary() string {
	path, err := filepath.Abs(os.Args[0])
	if err != nil {
		return os.Args[0]
	}
	return path
}

// party is one end of the matrix.
type party struct{ mac, ip4, ip6, link string }

// attempt is a frame that an instance sends, and whether it may arrive.
type attempt struct {
	name   string
	passes bool
	frame  func(mark) []byte
	count  mark
}

const (
	stranger  = "fa:16:3e:66:66:66"
	everybody = "ff:ff:ff:ff:ff:ff"
	allNodes  = "33:33:00:00:00:01"
)

// who is one value of a dimension of the matrix, and whether it is the sender's own.
type who struct {
	name, value string
	own         bool
}

// matrix is MAC x IP, MAC x ARP sender, MAC x ND target and link-layer address.
func matrix(me, victim party) []attempt {
	var out []attempt
	macs := []who{{"own", me.mac, true}, {"the victim's", victim.mac, false}, {"a stranger's", stranger, false}}
	for _, mac := range macs {
		for _, ip := range []who{{"own", me.ip4, true}, {"the victim's", victim.ip4, false}, {"a foreign network's", "192.0.2.77", false}, {"no", "0.0.0.0", false}} {
			out = append(out, attempt{"UDP from MAC " + mac.name + ", IP " + ip.name, mac.own && ip.own, func(m mark) []byte {
				return ether(mac.value, victim.mac, etherIPv4, udp(ip.value, victim.ip4, [2]uint16{4000, 4000}, m))
			}, mark{}})
		}
		for _, ip := range []who{{"own", me.ip6, true}, {"own link-local", me.link, true}, {"the victim's", victim.ip6, false}, {"the victim's link-local", victim.link, false}, {"no", "::", false}} {
			out = append(out, attempt{"UDP over IPv6 from MAC " + mac.name + ", IP " + ip.name, mac.own && ip.own, func(m mark) []byte {
				return ether(mac.value, victim.mac, etherIPv6, udp(ip.value, victim.ip6, [2]uint16{4000, 4000}, m))
			}, mark{}})
			for _, kind := range []byte{128, 135} {
				out = append(out, attempt{fmt.Sprintf("ICMPv6 %d from MAC %s, IP %s", kind, mac.name, ip.name), mac.own && ip.own, func(m mark) []byte {
					body := append([]byte{0, 0, 0, 0}, m[:]...)
					if kind == 135 {
						body = append(append([]byte{0, 0, 0, 0}, addressBytes(victim.ip6)...), nonce(m)...)
					}
					return ether(mac.value, victim.mac, etherIPv6, icmp6(ip.value, victim.ip6, kind, body))
				}, mark{}})
			}
		}
		for _, sha := range macs {
			for _, spa := range []who{{"own", me.ip4, true}, {"the victim's", victim.ip4, false}, {"the gateway's", "10.66.0.1", false}} {
				for op := range uint16(2) {
					name := fmt.Sprintf("ARP operation %d from MAC %s, sha %s, spa %s", op+1, mac.name, sha.name, spa.name)
					out = append(out, attempt{name, mac.own && sha.own && spa.own, func(m mark) []byte {
						return ether(mac.value, victim.mac, etherARP, arp(op+1, sha.value, spa.value, "10.66.0.200", m))
					}, mark{}})
				}
				out = append(out, attempt{"gratuitous ARP from MAC " + mac.name + ", sha " + sha.name + ", spa " + spa.name, mac.own && sha.own && spa.own, func(m mark) []byte {
					return ether(mac.value, everybody, etherARP, arp(2, sha.value, spa.value, spa.value, m))
				}, mark{}})
			}
		}
		for _, ip := range []who{{"own", me.ip6, true}, {"own link-local", me.link, true}, {"the victim's", victim.ip6, false}} {
			for _, target := range []who{{"own", me.ip6, true}, {"own link-local", me.link, true}, {"the victim's", victim.ip6, false}, {"the victim's link-local", victim.link, false}} {
				for _, tll := range []who{{"own", me.mac, true}, {"none", "", true}, {"the victim's", victim.mac, false}, {"a stranger's", stranger, false}} {
					name := fmt.Sprintf("advertisement from MAC %s, IP %s, target %s, tll %s", mac.name, ip.name, target.name, tll.name)
					out = append(out, attempt{name, mac.own && ip.own && target.own && tll.own, func(m mark) []byte {
						return ether(mac.value, victim.mac, etherIPv6, icmp6(ip.value, victim.ip6, 136, advertisement(target.value, tll.value, m)))
					}, mark{}})
				}
			}
		}
		out = append(out, attempt{"another EtherType from MAC " + mac.name, mac.own, func(m mark) []byte { return ether(mac.value, victim.mac, etherTest, m[:]) }, mark{}})
	}
	return out
}

func addressBytes(s string) []byte { return packet(s, s, 0, nil)[8:24] }

// servers are the messages that only a router or a DHCP server may send, and
// what a client may.
func servers(me, victim party) []attempt {
	v4 := func(src, dst, mac string, from, to uint16) func(mark) []byte {
		return func(m mark) []byte { return ether(me.mac, mac, etherIPv4, udp(src, dst, [2]uint16{from, to}, m)) }
	}
	v6 := func(src, dst, mac string, from, to uint16) func(mark) []byte {
		return func(m mark) []byte { return ether(me.mac, mac, etherIPv6, udp(src, dst, [2]uint16{from, to}, m)) }
	}
	solicit := func(kind byte, src, dst, mac string) func(mark) []byte {
		return func(m mark) []byte {
			body := append([]byte{0, 0, 0, 0}, nonce(m)...)
			if kind == 134 {
				body = append([]byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}, nonce(m)...)
			}
			return ether(me.mac, mac, etherIPv6, icmp6(src, dst, kind, body))
		}
	}
	honest := func(m mark) []byte {
		return ether(me.mac, victim.mac, etherIPv4, udp(me.ip4, victim.ip4, [2]uint16{4001, 4001}, m))
	}
	forged := func(m mark) []byte {
		return ether(me.mac, victim.mac, etherIPv4, udp(victim.ip4, victim.ip4, [2]uint16{4001, 4001}, m))
	}
	return []attempt{
		{"DHCP offer", false, v4(me.ip4, victim.ip4, victim.mac, 67, 68), mark{}},
		{"DHCP offer to all", false, v4(me.ip4, "255.255.255.255", everybody, 67, 68), mark{}},
		{"DHCP offer from no address", false, v4("0.0.0.0", "255.255.255.255", everybody, 67, 68), mark{}},
		{"DHCP discover", true, v4("0.0.0.0", "255.255.255.255", everybody, 68, 67), mark{}},
		{"DHCP renewal", true, v4(me.ip4, victim.ip4, victim.mac, 68, 67), mark{}},
		{"DHCP renewal with the victim's address", false, v4(victim.ip4, victim.ip4, victim.mac, 68, 67), mark{}},
		{"DHCPv6 reply", false, v6(me.link, victim.link, victim.mac, 547, 546), mark{}},
		{"DHCPv6 solicit", true, v6(me.link, "ff02::1:2", "33:33:00:01:00:02", 546, 547), mark{}},
		{"DHCPv6 solicit with the victim's address", false, v6(victim.link, "ff02::1:2", "33:33:00:01:00:02", 546, 547), mark{}},
		{"router advertisement", false, solicit(134, me.link, "ff02::1", allNodes), mark{}},
		{"router advertisement to the victim", false, solicit(134, me.link, victim.link, victim.mac), mark{}},
		{"router advertisement with the victim's address", false, solicit(134, victim.link, "ff02::1", allNodes), mark{}},
		{"router solicitation", true, solicit(133, me.link, "ff02::2", "33:33:00:00:00:02"), mark{}},
		{"honest frame in VLAN 5", false, func(m mark) []byte { return tagged(honest(m), 5) }, mark{}},
		{"forged frame in VLAN 5", false, func(m mark) []byte { return tagged(forged(m), 5) }, mark{}},
		{"forged frame in the network's local VLAN", false, func(m mark) []byte { return tagged(forged(m), 1) }, mark{}},
		{"forged frame with a priority tag", false, func(m mark) []byte { return tagged(forged(m), 0) }, mark{}},
		{"forged frame with two priority tags", false, func(m mark) []byte { return tagged(tagged(forged(m), 0), 0) }, mark{}},
		{"DHCP offer with a priority tag", false, func(m mark) []byte { return tagged(v4(me.ip4, victim.ip4, victim.mac, 67, 68)(m), 0xe000) }, mark{}},
		{"router advertisement with a priority tag", false, func(m mark) []byte { return tagged(solicit(134, me.link, "ff02::1", allNodes)(m), 0) }, mark{}},
		{"forged ARP with a priority tag", false, func(m mark) []byte {
			return tagged(ether(me.mac, victim.mac, etherARP, arp(2, me.mac, "10.66.0.1", victim.ip4, m)), 0)
		}, mark{}},
		{"the honest frame itself", true, honest, mark{}},
	}
}

// pairs are what an allowed address pair opens, and no more.
func pairAttempts(me, victim party, pair party) []attempt {
	from := func(mac, ip string) func(mark) []byte {
		return func(m mark) []byte {
			return ether(mac, victim.mac, etherIPv4, udp(ip, victim.ip4, [2]uint16{4002, 4002}, m))
		}
	}
	says := func(mac, sha, spa string) func(mark) []byte {
		return func(m mark) []byte { return ether(mac, victim.mac, etherARP, arp(2, sha, spa, victim.ip4, m)) }
	}
	return []attempt{
		{"own MAC, own IP", true, from(me.mac, me.ip4), mark{}},
		{"pair's MAC, pair's IP", true, from(pair.mac, pair.ip4), mark{}},
		{"own MAC, pair's IP", false, from(me.mac, pair.ip4), mark{}},
		{"pair's MAC, own IP", false, from(pair.mac, me.ip4), mark{}},
		{"pair's MAC, victim's IP", false, from(pair.mac, victim.ip4), mark{}},
		{"pair's MAC, address beside the pair's", false, from(pair.mac, "10.66.0.104"), mark{}},
		{"ARP of the pair", true, says(pair.mac, pair.mac, pair.ip4), mark{}},
		{"ARP of the pair with own sha", false, says(me.mac, me.mac, pair.ip4), mark{}},
		{"ARP of the pair with victim's spa", false, says(pair.mac, pair.mac, victim.ip4), mark{}},
	}
}

// openGroup is a security group that lets everything in.
func (w *world) openGroup() (id string) {
	w.Helper()
	id = w.create("security-groups", lab.Object{"name": "spoof-open"}).ID()
	for _, e := range []string{"IPv4", "IPv6"} {
		w.create("security-group-rules", lab.Object{"security_group_id": id, "direction": "ingress", "ethertype": e})
	}
	return id
}

// spoofers makes two instances on a network of both families.
func (w *world) spoofers() (a, b *lab.Guest, me, victim party) {
	w.Helper()
	network := w.subnet("spoof", "10.66.0.0/24")
	w.create("subnets", lab.Object{"network_id": network, "ip_version": 6, "cidr": "2001:db8:66::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"})
	open := w.openGroup()
	make := func(name string) (*lab.Guest, party) {
		g := w.instance(lab.InstanceSpec{Name: name, Network: network, Port: lab.Object{"security_groups": []string{open}}})
		return g, w.partyOf(g)
	}
	a, me = make("spoof-a")
	b, victim = make("spoof-b")
	return a, b, me, victim
}

// partyOf is an instance with its port's addresses.
func (w *world) partyOf(g *lab.Guest) party {
	w.Helper()
	port, err := w.api.Get(w.ctx, "ports", g.PortID)
	w.must(err)
	p := party{mac: g.MAC, link: linkLocal(g.MAC)}
	for _, ip := range port.Addresses() {
		if len(addressBytesOf(ip)) == 4 {
			p.ip4 = ip
		} else {
			p.ip6 = ip
		}
	}
	return p
}

func TestWhatAnInstanceForgesStopsAtItsTap(t *testing.T) {
	w := story(t)
	a, b, me, victim := w.spoofers()
	listener := w.listen(b.Command(w.ctx, testBinary(), framesCommand, "listen", w.nic(b)))
	bridge := w.listen(w.compute.Command(w.ctx, testBinary(), framesCommand, "listen", "qvo"+a.PortID[:11]))
	all := append(matrix(me, victim), servers(me, victim)...)
	w.try(a, listener, all, 0)
	left := 0
	for _, at := range all {
		if !at.passes {
			left += bridge.heard(at.count)
		}
	}
	t.Logf("%d frames; of those that must not pass %d reached br-int and were stopped there", len(all), left)

	pair := party{mac: "fa:16:3e:77:77:77", ip4: "10.66.0.102"}
	_, err := w.api.Update(w.ctx, "ports/"+a.PortID, lab.Object{"allowed_address_pairs": []lab.Object{{"ip_address": pair.ip4 + "/31", "mac_address": pair.mac}}})
	w.must(err)
	w.until(repairTime, func() error {
		_, err := w.look(w.compute, "iptables -S neutron-openvswi-s"+a.PortID[:10]+" | grep -qi "+pair.mac)
		return err
	})
	w.asWanted(repairTime)
	w.try(a, listener, pairAttempts(me, victim, pair), 2000)
}

// A router's addresses are no instance's: what claims them reaches neither the
// router nor a neighbour.
func TestNobodyPassesForTheRouter(t *testing.T) {
	w := story(t)
	a, b, me, _ := w.spoofers()
	router := w.create("routers", lab.Object{"name": "spoof"}).ID()
	for _, s := range w.list("subnets", lab.Query{"network_id": a.NetworkID}) {
		w.must(w.lab.AddInterface(w.ctx, router, s.ID()))
		w.Cleanup(func() { w.late(w.lab.RemoveInterface(context.Background(), router, s.ID())) })
	}
	port := w.list("ports", lab.Query{"device_id": router, "fixed_ips": "ip_address=2001:db8:66::"})[0]
	victim := party{mac: port.Text("mac_address"), ip4: "10.66.0.1", ip6: "2001:db8:66::", link: linkLocal(port.Text("mac_address"))}
	h, err := w.lab.RouterHost(w.ctx, router)
	w.must(err)
	qr := "qr-" + port.ID()[:11]
	inside := []string{"ip", "netns", "exec", "qrouter-" + router}
	w.until(repairTime, func() error {
		_, err := h.Run(w.ctx, append(inside, "ip", "link", "show", qr)...)
		return err
	})
	w.asWanted(repairTime)
	at := w.listen(h.Command(w.ctx, append(inside, testBinary(), framesCommand, "listen", qr)...))
	beside := w.listen(b.Command(w.ctx, testBinary(), framesCommand, "listen", w.nic(b)))
	all := matrix(me, victim)
	forged := []attempt{all[0]} // the honest one that ends the table
	for _, one := range append(all[1:], servers(me, victim)...) {
		if !one.passes {
			forged = append(forged, one)
		}
	}
	w.try(a, at, forged, 4000)
	for _, one := range forged[1:] {
		if n := beside.heard(one.count); n > 0 {
			t.Errorf("ARRIVED beside: %s", one.name)
		}
	}
}

// try sends each attempt and looks who arrived.
func (w *world) try(from *lab.Guest, at *ear, all []attempt, first int) {
	w.Helper()
	var frames [][]byte
	for i := range all {
		all[i].count = markOf(first + i)
		frames = append(frames, all[i].frame(all[i].count))
	}
	w.send(from, w.nic(from), frames)
	end := markOf(first + 999)
	own := all[0].frame(end) // the first of each table is honest
	w.until(repairTime, func() error {
		w.send(from, w.nic(from), [][]byte{own})
		if at.heard(end) == 0 {
			return fmt.Errorf("the frame that ends the table has not arrived")
		}
		return nil
	})
	time.Sleep(100 * time.Millisecond) // what was flooded beside it
	passed := 0
	for _, a := range all {
		switch n := at.heard(a.count); {
		case n > 0 && !a.passes:
			w.Errorf("ARRIVED: %s", a.name)
		case n == 0 && a.passes:
			w.Errorf("did not arrive: %s", a.name)
		case n > 0:
			passed++
		}
	}
	w.Logf("%d frames, %d may pass and did", len(all), passed)
}
