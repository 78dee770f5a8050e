package l3

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/lab"
)

// death is how a network host ends, and what of it is left when it comes back.
type death struct {
	name string
	left string // shell text, run on the host when its processes are dead
	back []string
}

var deaths = []death{
	// Nothing of the kernel's state survives.
	{"rebooted", "ip -all netns delete", []string{"ovsdb-server", "ovs-vswitchd", agentProcess}},
	// The kernel's namespaces survive, and lead somewhere as soon as Open
	// vSwitch is there.
	{"crashed", "true", []string{"ovsdb-server", agentProcess, "ovs-vswitchd"}},
}

// grace is what a failover may take beyond the down time (issue 3): a look for
// dead agents, each second, and the work of the other host. On a machine that is
// busy with other tests it may take twice that; the story then says so.
const grace = 2 * time.Second

func TestADeadNetworkHostIsReplacedAndDoesNotSpeakAgain(t *testing.T) {
	for _, d := range deaths {
		t.Run(d.name, func(t *testing.T) { failover(t, d) })
	}
}

func failover(t *testing.T, d death) {
	w := story(t)
	router := w.one("routers", lab.Query{"name": lab.SeedRouter}).ID()
	seed := w.one("networks", lab.Query{"name": lab.SeedNetwork}).ID()
	old, other := w.routerHost(router)
	w.gather(old, router, seed)
	gateway := w.one("ports", lab.Query{"device_id": router, "device_owner": neutrino.OwnerGateway}).Text("mac_address")

	p := w.ping(lab.SeedFloatingIP, 20*time.Millisecond)
	w.until(patience, func() error { return w.heard(p, time.Time{}) })
	w.die(old, d)
	died := time.Now()
	w.until(downTime+10*time.Second, func() error { return w.heard(p, died) })
	took := p.Since(died).Sub(died)
	renewed := w.until(patience, w.renew)
	t.Logf("%s → %s: the floating IP answers after %v, the lease is renewed %v later", old.Name, other.Name,
		took.Round(time.Millisecond), renewed.Round(time.Millisecond))
	if took > downTime+2*grace {
		t.Errorf("the floating IP answered after %v, wanted %v", took, downTime+grace)
	} else if took > downTime+grace {
		t.Logf("MISSED on this machine now: wanted %v", downTime+grace)
	}
	if now, _ := w.routerHost(router); now.Name != other.Name {
		t.Errorf("the router is on %s", now.Name)
	}
	w.until(patience, func() error { return w.metadata(w.vm) })

	// What the old host sends of the router's is heard on its own NIC.
	stop := w.listen(old, "eth1", "ether src "+gateway)
	witness := w.listen(other, "eth1", "ether src "+gateway)
	for _, process := range d.back {
		w.must(old.Restart(w.ctx, process))
	}
	w.until(patience, func() error { return w.lost(old, router, seed) })
	w.until(patience, func() error { return w.quiet(old) })
	w.until(patience, func() error { return w.lost(old, router, seed) })
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		w.must(w.lost(old, router, seed)) // nor does it come again
	}
	if said := stop(); said != "" {
		t.Errorf("%s spoke for the router that it lost:\n%s", old.Name, said)
	}
	if witness() == "" {
		t.Errorf("nothing was heard of %s either: the silence proves nothing", other.Name)
	}
	count, err := p.Stop()
	w.must(err)
	if count.Twice > 0 {
		t.Errorf("%d pings were answered twice", count.Twice)
	}
	w.must(errors.Join(w.renew(), w.vm.Ping(w.ctx, lab.OutsideFar)))
}

func (w *world) heard(p *Ping, since time.Time) error {
	if p.Since(since).IsZero() {
		return errors.New("the floating IP does not answer")
	}
	return nil
}

// gather has the host serve the network too, that both are lost together.
func (w *world) gather(h *lab.Host, router, network string) {
	w.Helper()
	at := w.one("ports", lab.Query{"network_id": network, "device_owner": neutrino.OwnerDHCP}).Text("binding:host_id")
	if at != h.Name {
		path := func(host string) string {
			return "/v2.0/agents/" + w.one("agents", lab.Query{"host": host, "agent_type": neutrino.AgentDHCP}).ID() + "/dhcp-networks"
		}
		w.must(w.api.Do(w.ctx, lab.Request{Method: "DELETE", Path: path(at) + "/" + network}, nil))
		w.must(w.api.Do(w.ctx, lab.Request{Method: "POST", Path: path(h.Name), Body: lab.Object{"network_id": network}}, nil))
	}
	w.until(patience, w.renew)
	if missing := w.lacks(h, router, network); missing != "" {
		w.Fatalf("%s has no %s", h.Name, missing)
	}
}

// lacks names what the host has not got of the two namespaces.
func (w *world) lacks(h *lab.Host, router, network string) string {
	all := w.sh(h, "ip netns")
	var missing []string
	for _, ns := range []string{"qrouter-" + router, "qdhcp-" + network} {
		if !strings.Contains(all, ns) {
			missing = append(missing, ns)
		}
	}
	return strings.Join(missing, " ")
}

// lost is nil when the host has neither namespace.
func (w *world) lost(h *lab.Host, router, network string) error {
	if missing := strings.Fields(w.lacks(h, router, network)); len(missing) < 2 {
		return fmt.Errorf("%s lacks only %v", h.Name, missing)
	}
	return nil
}

// die kills all that runs on a host.
func (w *world) die(h *lab.Host, d death) {
	w.Helper()
	for _, process := range []string{"ovs-vswitchd", agentProcess, "ovsdb-server"} {
		w.must(h.Kill(w.ctx, process))
	}
	w.sh(h, "cat /var/lib/neutron/dhcp/*/pid | xargs -r kill -9; "+d.left)
}

// listen captures on a host's device; stop returns what was heard.
func (w *world) listen(h *lab.Host, device, filter string) (stop func() string) {
	w.Helper()
	name := "listen-" + strings.ReplaceAll(w.Name(), "/", "-")
	_, err := h.Start(w.ctx, name, append([]string{"tcpdump", "-i", device, "-Q", "out", "-nn", "-e", "-l", "--immediate-mode"}, strings.Fields(filter)...)...)
	w.must(err)
	w.until(patience, func() error {
		if out := w.sh(h, "cat "+h.LogFile(name)); !strings.Contains(out, "listening on") {
			return fmt.Errorf("tcpdump: %s", out)
		}
		return nil
	})
	return func() string {
		w.must(h.Stop(w.ctx, name))
		var heard []string
		for line := range strings.Lines(w.sh(h, "cat "+h.LogFile(name))) {
			if strings.Contains(line, " > ") {
				heard = append(heard, line)
			}
		}
		return strings.Join(heard, "")
	}
}
