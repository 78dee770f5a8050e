package faults

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"neutrino/lab"
)

// steadyPing pings from an instance until the returned function is called, which
// fails the story for each answer that is missing.
func (w *world) steadyPing(g *lab.Guest, to string) (stop func()) {
	w.Helper()
	cmd := g.Command(w.ctx, "ping", "-q", "-i", "0.02", to)
	var out strings.Builder
	cmd.Stdout = &out
	w.must(cmd.Start())
	w.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the story failed
	return func() {
		w.Helper()
		w.must(cmd.Process.Signal(os.Interrupt))
		if err := cmd.Wait(); err != nil {
			w.Errorf("ping %s: %v: %s", to, err, out.String())
		}
		var sent, received int
		if m := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindStringSubmatch(out.String()); m != nil {
			fmt.Sscan(m[1]+" "+m[2], &sent, &received)
		}
		// The last one may still be on its way.
		if sent < 10 || sent-received > 1 {
			w.Errorf("%d of %d pings to %s were answered", received, sent, to)
		}
		w.Logf("%d of %d pings to %s were answered", received, sent, to)
	}
}

// fetch reads an instance's user data from one of its addresses.
func (w *world) fetch(g *lab.Guest, from string) string {
	out, _ := g.Command(w.ctx, "curl", "-s", "-m", "1", "--interface", from, "http://169.254.169.254/latest/user-data").CombinedOutput()
	return strings.TrimSpace(string(out))
}

// The attack on the identity of a guest, by traffic: the owner of a shared
// network gives a port of theirs an allowed pair that covers another project's
// guest, or no port security, takes its address, says so to everybody by ARP and
// asks for the metadata. It reads nothing of that guest's, whose own requests
// are answered and whose pings are not lost.
func TestAnotherProjectsMetadataStaysItsOwn(t *testing.T) {
	w := story(t)
	network := w.subnet("meta", "10.68.0.0/24")
	_, err := w.api.Update(w.ctx, "networks/"+network, lab.Object{"shared": true})
	w.must(err)
	router := w.create("routers", lab.Object{"name": "meta"}).ID()
	for _, s := range w.list("subnets", lab.Query{"network_id": network}) {
		w.must(w.lab.AddInterface(w.ctx, router, s.ID()))
		w.Cleanup(func() { w.late(w.lab.RemoveInterface(context.Background(), router, s.ID())) })
	}
	data := func(text string) lab.Object {
		return lab.Object{"binding:profile": lab.Object{"user_data": base64.StdEncoding.EncodeToString([]byte(text))}}
	}
	victim := w.instance(lab.InstanceSpec{Name: "meta-victim", Network: network, Project: "victims", Port: data("the victim's secret")})
	spy := w.instance(lab.InstanceSpec{Name: "meta-spy", Network: network, Port: data("the spy's own")})
	for _, g := range []*lab.Guest{victim, spy} {
		_, err := g.Exec(w.ctx, "ip route replace 169.254.169.254/32 via 10.68.0.1")
		w.must(err)
		w.until(repairTime, func() error {
			if got := w.fetch(g, g.Address); !strings.HasPrefix(got, "the ") {
				return fmt.Errorf("%s reads %q of itself", g.Name, got)
			}
			return nil
		})
	}
	_, err = w.api.Update(w.ctx, "ports/"+spy.PortID, lab.Object{"allowed_address_pairs": []lab.Object{{"ip_address": victim.Address}}})
	if !lab.IsStatus(err, 409) {
		t.Errorf("a pair with the victim's address: %v, want 409", err)
	}

	pinged := w.steadyPing(victim, "10.68.0.1")
	_, err = spy.Exec(w.ctx, "ip address add "+victim.Address+"/32 dev "+w.nic(spy))
	w.must(err)
	for _, how := range []struct { // in this order: pairs need port security
		name   string
		change lab.Object
	}{
		{"a pair that covers it", lab.Object{"allowed_address_pairs": []lab.Object{{"ip_address": "10.68.0.0/24"}}}},
		{"a pair for everything", lab.Object{"allowed_address_pairs": []lab.Object{{"ip_address": "0.0.0.0/0"}}}},
		{"no port security", lab.Object{"allowed_address_pairs": []lab.Object{}, "security_groups": []string{}, "port_security_enabled": false}},
	} {
		_, err := w.api.Update(w.ctx, "ports/"+spy.PortID, how.change)
		w.must(err)
		w.until(repairTime, func() error { return errors.Join(w.quiet(w.compute), w.portStatus(spy.PortID, "ACTIVE")) })
		w.claims(spy, victim, how.name)
	}
	pinged()
	if got := w.fetch(victim, victim.Address); got != "the victim's secret" {
		t.Errorf("the victim reads %q of itself", got)
	}
}

// claims says by ARP that a guest has another's address, and asks by it.
func (w *world) claims(spy, victim *lab.Guest, how string) {
	w.Helper()
	nic := w.nic(spy)
	for i := range 5 {
		m := markOf(5000 + i)
		w.send(spy, nic, [][]byte{
			ether(spy.MAC, everybody, etherARP, arp(2, spy.MAC, victim.Address, victim.Address, m)),
			ether(spy.MAC, everybody, etherARP, arp(1, spy.MAC, victim.Address, "10.68.0.1", m)),
		})
		if got := w.fetch(spy, victim.Address); got != "" && got != "Not Found" {
			w.Errorf("with %s the spy reads %q by the victim's address", how, got)
			return
		}
		time.Sleep(10 * time.Millisecond) // between two attempts
	}
}
