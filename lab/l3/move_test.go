package l3

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"neutrino/lab"
)

// standstill is how long a moving machine may be silent: what QEMU lets it stand
// still, 0.3 s, the three calls after that, and the hosts' work.
const standstill = 3 * time.Second

// A virtual machine moves to another host and back, by the calls that Nova makes,
// while somebody outside talks to it.
func TestAMachineMovesUnderTraffic(t *testing.T) {
	w := story(t)
	home, away := w.lab1("compute1"), w.lab1("compute2")
	w.moves(home, away)
	w.moves(away, home)
}

func (w *world) lab1(name string) *lab.Host {
	w.Helper()
	h, err := w.lab.Host(name)
	w.must(err)
	return h
}

func (w *world) moves(from, to *lab.Host) {
	w.Helper()
	const pace = 20 * time.Millisecond
	p := w.ping(lab.SeedFloatingIP, pace)
	w.until(patience, func() error { return w.heard(p, time.Time{}) })
	stop := w.watchTag(to)
	ready := func() error {
		// The destination has said that nothing is missing, and the port is still on
		// the dead VLAN (failures.md, S41).
		w.until(patience, func() error { return w.quiet(to) })
		return errors.Join(w.filtered(to), w.tag(to, "4095"))
	}
	began := time.Now()
	vm, err := w.lab.Move(w.ctx, lab.SeedVM, to.Name, ready)
	w.must(err)
	took := time.Since(began)
	w.vm = vm
	moved := time.Now()
	w.until(patience, func() error { return w.heard(p, moved) })
	w.must(w.filtered(to))
	count, err := p.Stop()
	w.must(err)
	lost := time.Duration(count.Lost) * pace
	w.Logf("%s → %s: moved in %v, %d of %d pings lost (%v)", from.Name, to.Name, took.Round(time.Millisecond), count.Lost, count.Sent, lost)
	if lost > standstill {
		w.Errorf("%s → %s: silent for %v, wanted less than %v", from.Name, to.Name, lost, standstill)
	}
	if tags := stop(); len(tags) != 2 || tags[0] != "4095" || tags[1] == "4095" {
		w.Errorf("the port on %s was on the VLANs %v, want the dead one and then its network's", to.Name, tags)
	}
	w.until(patience, func() error { return w.left(from) })
	w.asWanted()
	w.must(errors.Join(w.renew(), w.metadata(w.vm)))
	port := w.one("ports", lab.Query{"id": vm.PortID})
	if port.Text("binding:host_id") != to.Name || port.Text("status") != "ACTIVE" {
		w.Errorf("the port is %s on %s", port.Text("status"), port.Text("binding:host_id"))
	}
	found := struct{ Bindings []lab.Object }{}
	w.must(w.api.Do(w.ctx, lab.Request{Method: "GET", Path: "/v2.0/ports/" + vm.PortID + "/bindings"}, &found))
	if len(found.Bindings) != 1 {
		w.Errorf("bindings %v", found.Bindings)
	}
}

// filtered is nil when what stops a port from lying, and others from reaching it,
// is in force on a host.
func (w *world) filtered(h *lab.Host) error {
	short := w.vm.PortID[:10]
	var missing []string
	for what, text := range map[string]string{
		"chain of what it gets":    "iptables -S neutron-openvswi-i" + short,
		"chain of what it sends":   "iptables -S neutron-openvswi-o" + short,
		"chain of its addresses":   "iptables -S neutron-openvswi-s" + short,
		"jump to what it gets":     "iptables -S neutron-openvswi-sg-chain | grep -q -e '--physdev-out tap" + short + "'",
		"guard of what it claims":  "ovs-ofctl dump-flows br-int table=24 --names | grep -q qvo" + short,
		"guard of its MAC address": "ovs-ofctl dump-flows br-int table=25 --names | grep -q qvo" + short,
	} {
		if _, err := h.Run(w.ctx, "sh", "-ec", text); err != nil {
			missing = append(missing, what)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: port %s lacks: %s", h.Name, w.vm.PortID, strings.Join(missing, ", "))
	}
	return nil
}

func (w *world) qvo() string { return "qvo" + w.vm.PortID[:11] }

func (w *world) tag(h *lab.Host, want string) error {
	got, err := h.Run(w.ctx, "ovs-vsctl", "get", "Port", w.qvo(), "tag")
	if err == nil && got != want {
		err = fmt.Errorf("%s: %s is on VLAN %s, want %s", h.Name, w.qvo(), got, want)
	}
	return err
}

// watchTag follows the VLANs of the port on a host; stop returns all that it was
// on, in their order.
func (w *world) watchTag(h *lab.Host) (stop func() []string) {
	w.Helper()
	name := fmt.Sprintf("tags-%d", time.Now().UnixNano())
	_, err := h.Start(w.ctx, name, "ovsdb-client", "monitor", "unix:/run/openvswitch/db.sock", "Open_vSwitch", "Port", "name,tag", "--format=csv")
	w.must(err)
	w.until(patience, func() error {
		if out := w.sh(h, "cat "+h.LogFile(name)); !strings.Contains(out, "br-int") {
			return fmt.Errorf("ovsdb-client: %s", out)
		}
		return nil
	})
	return func() []string {
		w.must(h.Stop(w.ctx, name))
		var tags []string
		for line := range strings.Lines(w.sh(h, "cat "+h.LogFile(name))) {
			// row,action,name,tag: of a change the old row has what changed alone.
			f := strings.Split(strings.TrimSpace(line), ",")
			if len(f) != 4 || f[2] != w.qvo() || f[1] == "delete" || f[3] == "[]" {
				continue
			}
			if len(tags) == 0 || tags[len(tags)-1] != f[3] {
				tags = append(tags, f[3])
			}
		}
		return tags
	}
}

// left is nil when a host has nothing of the port.
func (w *world) left(h *lab.Host) error {
	short := w.vm.PortID[:10]
	for _, look := range []string{"ip -br link", "iptables -S", "ip6tables -S", "ovs-vsctl show", "ovs-ofctl dump-flows br-int --names"} {
		if out := w.sh(h, look); strings.Contains(out, short) {
			return fmt.Errorf("%s: %s still has port %s", h.Name, look, short)
		}
	}
	return nil
}
