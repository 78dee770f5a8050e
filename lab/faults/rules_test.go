package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"neutrino/lab"
)

// Whatever the API accepts, every host can put in force: one rule that iptables
// refused would stop the filters of all (CVE-2014-0187, CVE-2019-9735,
// CVE-2019-10876, CVE-2015-3221). What the API refuses is refused with 400 or 409.
func TestEveryRuleThatTheAPIAcceptsIsInForce(t *testing.T) {
	w := story(t)
	groups := []string{w.create("security-groups", lab.Object{"name": "odd-1"}).ID(), w.create("security-groups", lab.Object{"name": "odd-2"}).ID()}
	a := w.instance(lab.InstanceSpec{Name: "rules-a", Port: lab.Object{"security_groups": groups}})
	b := w.instance(lab.InstanceSpec{Name: "rules-b"})
	accepted, refused := 0, map[string]int{}
	for i, rule := range oddRules() {
		rule["security_group_id"] = groups[i%2]
		_, err := w.api.Create(w.ctx, "security-group-rules", rule)
		switch {
		case err == nil:
			accepted++
		case lab.IsStatus(err, 400) || lab.IsStatus(err, 409):
			var e *lab.APIError
			errors.As(err, &e)
			refused[e.Type]++
		default:
			t.Errorf("%v: %v", rule, err)
		}
	}
	t.Logf("%d rules accepted, refused %v", accepted, refused)
	if accepted < 600 {
		t.Errorf("%d rules accepted: this proves little", accepted)
	}
	w.settled(w.compute)
	w.asWanted(repairTime)
	w.must(errors.Join(w.portStatus(a.PortID, "ACTIVE"), w.portStatus(b.PortID, "ACTIVE")))
	w.must(b.Ping(w.ctx, lab.SeedDHCP))
	chain := w.sh(w.compute, "iptables -S neutron-openvswi-i"+a.PortID[:10]+"; ip6tables -S neutron-openvswi-i"+a.PortID[:10]+
		"; iptables -S neutron-openvswi-o"+a.PortID[:10]+"; ip6tables -S neutron-openvswi-o"+a.PortID[:10])
	if n := strings.Count(chain, "\n"); n < 400 {
		t.Errorf("the four chains of the port have %d rules", n)
	}
	if st, err := w.status(w.compute); err == nil {
		t.Logf("the last pass took %v", st.Took)
	}
	w.unchanged(w.compute) // what iptables says back is what was meant: nothing is written again
}

// unchanged starts a host's agent afresh and wants it to write nothing.
func (w *world) unchanged(h *lab.Host) {
	w.Helper()
	w.settled(h)
	w.must(h.Kill(w.ctx, agentProcess))
	w.must(h.Restart(w.ctx, agentProcess))
	w.until(2*repairTime, func() error { return w.quiet(h) })
	st, err := w.status(h)
	w.must(err)
	if st.AllPuts != 0 || st.AllDrops != 0 {
		w.Errorf("%s: a fresh agent wrote %d and dropped %d: %v", h.Name, st.AllPuts, st.AllDrops, st.Repaired)
	}
}

// settled waits until a host's agent has nothing new to act on for a while.
func (w *world) settled(h *lab.Host) {
	w.Helper()
	revision, since := int64(-1), time.Now()
	w.until(2*repairTime, func() error {
		st, err := w.status(h)
		if err != nil {
			return err
		}
		if st.Revision != revision {
			revision, since = st.Revision, time.Now()
		}
		if time.Since(since) < 2*time.Second {
			return fmt.Errorf("%s still acts on changes, now on revision %d", h.Name, revision)
		}
		return nil
	})
}

// oddRules are rules from all corners.
func oddRules() []lab.Object {
	var out []lab.Object
	add := func(o lab.Object) { out = append(out, o) }
	for _, direction := range []string{"ingress", "egress"} {
		for _, ethertype := range []string{"IPv4", "IPv6"} {
			for protocol := range 256 {
				p := fmt.Sprint(protocol)
				add(lab.Object{"direction": direction, "ethertype": ethertype, "protocol": p})
				add(lab.Object{"direction": direction, "ethertype": ethertype, "protocol": p, "port_range_min": 80, "port_range_max": 90})
			}
			for _, p := range []string{"any", "ah", "dccp", "egp", "esp", "gre", "icmp", "icmpv6", "igmp", "ipip", "ipv6-encap", "ipv6-frag",
				"ipv6-icmp", "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ospf", "pgm", "rsvp", "sctp", "tcp", "udp", "udplite", "vrrp"} {
				add(lab.Object{"direction": direction, "ethertype": ethertype, "protocol": p})
				for _, r := range [][2]int{{0, 0}, {0, 65535}, {1, 65535}, {65535, 65535}, {255, 255}, {8, 0}, {3, 4}, {22, 80}, {50, 90}, {80, 22}} {
					add(lab.Object{"direction": direction, "ethertype": ethertype, "protocol": p, "port_range_min": r[0], "port_range_max": r[1]})
				}
				add(lab.Object{"direction": direction, "ethertype": ethertype, "protocol": p, "port_range_min": 5})
				add(lab.Object{"direction": direction, "ethertype": ethertype, "protocol": p, "port_range_max": 5})
			}
			for _, prefix := range []string{"0.0.0.0/0", "::/0", "10.1.0.77/24", "10.1.0.77", "10.1.0.77/32", "255.255.255.255/32", "224.0.0.0/4", "0.0.0.0/32",
				"::ffff:10.1.0.1/128", "::ffff:0:0/96", "2001:db8::1/64", "2001:DB8:0:0::1", "fe80::1/10", "::/128", "ff02::/16", "1.2.3.4/33", "::1/129", "1.2.3/24", "01.2.3.4/8", "fe80::1%eth0/64"} {
				add(lab.Object{"direction": direction, "ethertype": ethertype, "remote_ip_prefix": prefix})
				add(lab.Object{"direction": direction, "ethertype": ethertype, "protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": prefix})
			}
		}
	}
	// Overlapping ranges over both groups, in an order that stays the same.
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		low := random.IntN(1000) + 1
		add(lab.Object{"direction": "ingress", "ethertype": []string{"IPv4", "IPv6"}[random.IntN(2)], "protocol": []string{"tcp", "udp", "sctp"}[random.IntN(3)],
			"port_range_min": low, "port_range_max": low + random.IntN(1000)})
	}
	return out
}

// Allowed address pairs of every shape: sets, spoof chains and flows take them all.
func TestEveryAddressPairThatTheAPIAcceptsIsInForce(t *testing.T) {
	w := story(t)
	b := w.instance(lab.InstanceSpec{Name: "pairs-b"})
	a := w.instance(lab.InstanceSpec{Name: "pairs-a"})
	for _, pairs := range [][]lab.Object{
		{{"ip_address": "0.0.0.0/0"}}, {{"ip_address": "::/0"}}, {{"ip_address": "0.0.0.0/0"}, {"ip_address": "::/0"}},
		{{"ip_address": "10.1.0.77/24"}}, {{"ip_address": "::ffff:10.1.0.9"}}, {{"ip_address": "::ffff:0:0/96"}}, {{"ip_address": "2001:db8::5/64"}},
		{{"ip_address": "0.0.0.0/1"}, {"ip_address": "128.0.0.0/1"}}, {{"ip_address": "255.255.255.255/32"}}, {{"ip_address": "0.0.0.0"}},
		{{"ip_address": "10.1.0.88", "mac_address": "fa:16:3e:88:88:88"}}, {{"ip_address": "10.1.0.88", "mac_address": "ff:ff:ff:ff:ff:ff"}},
		{{"ip_address": "10.1.0.88", "mac_address": "00:00:00:00:00:00"}}, {{"ip_address": "224.0.0.1"}}, {{"ip_address": "fe80::1"}},
	} {
		_, err := w.api.Update(w.ctx, "ports/"+a.PortID, lab.Object{"allowed_address_pairs": pairs})
		if err != nil {
			if !lab.IsStatus(err, 400) {
				t.Errorf("%v: %v", pairs, err)
			}
			t.Logf("%v is refused: %v", pairs, err)
			continue
		}
		revision := w.revisionOf(a.PortID)
		w.until(repairTime, func() error {
			st, err := w.status(w.compute)
			if err == nil && len(st.Errors)+len(st.Pending) > 0 {
				err = fmt.Errorf("%v (revision %d): %v %v", pairs, revision, st.Errors, st.Pending)
			}
			return err
		})
		w.must(errors.Join(a.Ping(w.ctx, b.Address), a.Ping(w.ctx, lab.SeedDHCP)))
	}
	w.asWanted(repairTime)
	w.unchanged(w.compute)
}

func (w *world) revisionOf(port string) int {
	w.Helper()
	p, err := w.api.Get(w.ctx, "ports", port)
	w.must(err)
	return p.Int("revision_number")
}
