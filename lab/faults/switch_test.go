package faults

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"neutrino/lab"
)

const showWiring = `for b in br-int br-tun; do ovs-ofctl --no-stats --names dump-flows $b | sed 's/cookie=[^,]*, //' | sort; done; ` +
	`ovs-vsctl --format=csv --columns=name,tag,vlan_mode list Port | sort; ovs-vsctl --format=csv --columns=name,type,options list Interface | sort`

// kill kills a process; one that is not alive at the story's end is started
// again, so that a failure does not become the next story's.
func (w *world) kill(h *lab.Host, process string) {
	w.Helper()
	w.must(h.Kill(w.ctx, process))
	w.Cleanup(func() {
		if p, err := h.Process(process); err != nil || !p.Alive(w.ctx) {
			w.late(errors.Join(err, h.Restart(w.ctx, process)))
		}
	})
}

// backTime is the figure that a restart of the switch is held to, with room
// for a busy machine.
const backTime = 4 * time.Second

// Without ovsdb-server ovs-vswitchd loses its lock and does nothing at all until
// it has it again, so in userspace nothing is forwarded either: that is Open
// vSwitch's own, and what counts is how soon all is back.
func TestTheSwitchKilledAndStartedAgainIsBackAtOnce(t *testing.T) {
	w := story(t)
	a, b := w.instance(lab.InstanceSpec{Name: "switch-a"}), w.instance(lab.InstanceSpec{Name: "switch-b"})
	for _, h := range []*lab.Host{w.compute, w.network} {
		for _, process := range []string{"ovs-vswitchd", "ovsdb-server"} {
			t.Run(process+" of "+h.Name, func(t *testing.T) {
				w := &world{T: t, ctx: w.ctx, lab: w.lab, api: w.api, compute: w.compute, network: w.network, server: w.server, seed: w.seed, dhcpPort: w.dhcpPort}
				before, log := w.sh(h, showWiring), w.journal(h)
				w.kill(h, process)
				w.reported(h, "bridge/br-int", "")
				w.must(log.says("not as planned"))
				w.must(h.Restart(w.ctx, process))
				back := time.Now()
				w.until(backTime, func() error {
					now, err := w.look(h, showWiring)
					if err == nil && now != before {
						err = difference(before, now)
					}
					return err
				})
				t.Logf("flows, tunnels and tags after %v", time.Since(back).Round(time.Millisecond))
				w.until(backTime, func() error { return errors.Join(a.Ping(w.ctx, b.Address), a.Ping(w.ctx, lab.SeedDHCP)) })
				t.Logf("traffic after %v", time.Since(back).Round(time.Millisecond))
				w.asWanted(3 * backTime)
				for _, id := range []string{a.PortID, b.PortID, w.dhcpPort} {
					w.until(backTime, func() error { return w.portStatus(id, "ACTIVE") })
				}
			})
		}
	}
}

// Both together, and nobody who starts them for a while.
func TestAHostWithoutItsSwitchReportsAndComesBack(t *testing.T) {
	w := story(t)
	a := w.instance(lab.InstanceSpec{Name: "both-a"})
	w.kill(w.compute, "ovs-vswitchd")
	w.kill(w.compute, "ovsdb-server")
	w.reported(w.compute, "bridge/br-int", "ovsdb")
	out := w.sh(w.compute, w.lab.Binary+" agent status")
	t.Log(strings.ReplaceAll(out, "\n", "\n    "))
	w.until(repairTime, func() error { return w.portStatus(a.PortID, "DOWN") })
	w.must(w.portStatus(w.dhcpPort, "ACTIVE"))
	w.must(w.compute.Restart(w.ctx, "ovsdb-server"))
	w.must(w.compute.Restart(w.ctx, "ovs-vswitchd"))
	back := time.Now()
	w.until(3*backTime, func() error { return a.Ping(w.ctx, lab.SeedDHCP) })
	t.Logf("traffic after %v", time.Since(back).Round(time.Millisecond))
	w.until(backTime, func() error { return w.portStatus(a.PortID, "ACTIVE") })
}

func TestDNSMasqKilledKeepsItsLeases(t *testing.T) {
	w := story(t)
	a := w.instance(lab.InstanceSpec{Name: "lease-a"})
	leases := dhcpRoot + "/" + w.seed + "/leases"
	before := w.sh(w.network, "cut -d' ' -f2- "+leases+" | sort")
	if !strings.Contains(before, a.Address) {
		t.Fatalf("no lease of %s in %q", a.Address, before)
	}
	for range 3 {
		pid := w.sh(w.network, "cat "+dhcpRoot+"/"+w.seed+"/pid")
		w.sh(w.network, "kill -9 "+pid)
		took := w.until(2*time.Second, func() error {
			now, err := w.look(w.network, "p=$(cat "+dhcpRoot+"/"+w.seed+"/pid); [ $p != "+pid+" ]; kill -0 $p; echo $p")
			if err != nil {
				return fmt.Errorf("dnsmasq is not back: %s %w", now, err)
			}
			return nil
		})
		t.Logf("back after %v", took.Round(time.Millisecond))
	}
	lease, err := a.AwaitLease(w.ctx)
	w.must(err)
	if lease.Address != a.Address {
		t.Errorf("lease of %s, want %s", lease.Address, a.Address)
	}
	if after := w.sh(w.network, "cut -d' ' -f2- "+leases+" | sort"); after != before {
		t.Error(difference(before, after))
	}
}
