package l3

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"neutrino/lab"
)

// outage is how long the server is away; it stands for the ten minutes of an
// operator's bad day. Three audits of each host fall into it. It is longer than the down time, so that a server that
// comes back finds all agents silent.
const outage = 30 * time.Second

func TestRoutersGoOnWithoutTheServer(t *testing.T) {
	w := story(t)
	type counts struct{ puts, drops int }
	before := map[string]counts{}
	for _, h := range w.hosts {
		puts, drops := w.settled(h)
		before[h.Name] = counts{puts, drops}
	}
	router := w.one("routers", lab.Query{"name": lab.SeedRouter}).ID()
	runs, _ := w.routerHost(router)
	server, err := w.lab.Host(lab.RoleController)
	w.must(err)
	w.must(server.Kill(w.ctx, serverProcess))
	killed := time.Now()
	p := w.ping(lab.SeedFloatingIP, 20*time.Millisecond)
	for round := 0; time.Since(killed) < outage; round++ {
		if err := errors.Join(w.renew(), w.metadata(w.vm), w.vm.Ping(w.ctx, lab.OutsideFar), w.vm.Ping(w.ctx, lab.SeedDHCP)); err != nil {
			t.Errorf("%v without the server: %v", time.Since(killed).Round(time.Second), err)
		}
		time.Sleep(2 * time.Second)
	}
	w.must(server.Restart(w.ctx, serverProcess))
	w.until(patience, func() error { _, err := w.api.List(w.ctx, "networks", nil); return err })
	// Longer than the down time: what seemed dead would be moved by now.
	for end := time.Now().Add(downTime + 2*time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if now, _ := w.routerHost(router); now.Name != runs.Name {
			t.Fatalf("the router moved from %s to %s", runs.Name, now.Name)
		}
	}
	w.asWanted()
	count, err := p.Stop()
	w.must(err)
	if count.Lost > 0 || count.Twice > 0 {
		t.Errorf("of %d pings through the floating IP %d were lost and %d answered twice", count.Sent, count.Lost, count.Twice)
	}
	for _, h := range w.hosts {
		puts, drops := w.settled(h)
		if now := (counts{puts, drops}); now != before[h.Name] {
			t.Errorf("%s: puts and drops %v, before %v", h.Name, now, before[h.Name])
		}
	}
	w.until(patience, func() error {
		for _, a := range []string{"Open vSwitch agent", "L3 agent"} {
			found, err := w.api.List(w.ctx, "agents", lab.Query{"agent_type": a, "alive": "false"})
			if err != nil || len(found) > 0 {
				return fmt.Errorf("%d agents are dead (%w)", len(found), err)
			}
		}
		return nil
	})
	t.Logf("%v without the server: %d pings, %d lost", outage, count.Sent, count.Lost)
}
