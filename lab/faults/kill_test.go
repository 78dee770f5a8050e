package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"neutrino/lab"
)

// alone is what many at once create; it is deleted by its name afterwards.
func (w *world) removeAll(collection, network string) {
	found, err := w.api.List(context.Background(), collection, lab.Query{"network_id": network, "name": "burst"})
	w.late(err)
	for _, o := range found {
		w.late(w.api.Delete(context.Background(), collection, o.ID()))
	}
}

func TestAKilledServerHasEveryPortThatItAnswered(t *testing.T) {
	w := story(t)
	network := w.subnet("burst", "10.88.0.0/20")
	w.Cleanup(func() { w.removeAll("ports", network) })
	for round := range 3 {
		var mu sync.Mutex
		var all sync.WaitGroup
		answered := map[string]string{}
		ctx, stop := context.WithCancel(w.ctx)
		for range 8 {
			all.Go(func() {
				for ctx.Err() == nil {
					p, err := w.api.Create(ctx, "ports", lab.Object{"network_id": network, "name": "burst"})
					if err != nil {
						return // killed
					}
					mu.Lock()
					answered[p.ID()] = p.Addresses()[0]
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(150+100*round) * time.Millisecond)
		w.must(w.server.Kill(w.ctx, serverProcess))
		stop()
		all.Wait()
		began := time.Now()
		w.must(w.server.Restart(w.ctx, serverProcess))
		w.until(repairTime, func() error { _, err := w.api.List(w.ctx, "networks", nil); return err })
		found, taken := map[string]string{}, map[string]bool{}
		for _, p := range w.list("ports", lab.Query{"network_id": network}) {
			a := p.Addresses()[0]
			if taken[a] {
				t.Errorf("address %s is taken twice", a)
			}
			found[p.ID()], taken[a] = a, true
		}
		for id, a := range answered {
			if found[id] != a {
				t.Errorf("port %s with %s was answered; now it has %q", id, a, found[id])
			}
		}
		t.Logf("%d ports were answered, %d are there; the API was back after %v", len(answered), len(found), time.Since(began).Round(time.Millisecond))
	}
	w.asWanted(2 * repairTime)
}

func TestHostsGoOnWithoutTheServer(t *testing.T) {
	w := story(t)
	a, b := w.instance(lab.InstanceSpec{Name: "away-a"}), w.instance(lab.InstanceSpec{Name: "away-b"})
	w.kill(w.server, serverProcess)
	traffic := func() error { return errors.Join(a.Ping(w.ctx, b.Address), a.Ping(w.ctx, lab.SeedDHCP)) }
	renew := func() {
		lease, err := a.AwaitLease(w.ctx)
		w.must(err)
		if lease.Address != a.Address {
			t.Errorf("lease of %s, want %s", lease.Address, a.Address)
		}
	}
	w.must(traffic())
	renew()
	w.until(reportTime, func() error {
		st, err := w.status(w.compute)
		if err == nil && st.Connected {
			err = errors.New("the agent says that it is connected")
		}
		return err
	})
	dnsmasq := w.sh(w.network, "cat "+dhcpRoot+"/"+w.seed+"/pid")
	for _, h := range []*lab.Host{w.compute, w.network} {
		w.must(h.Kill(w.ctx, agentProcess))
		w.must(h.Restart(w.ctx, agentProcess))
		w.until(repairTime, func() error {
			st, err := w.status(h)
			if err == nil && (!st.Stored || st.Passes == 0 || len(st.Errors)+len(st.Pending) > 0) {
				err = fmt.Errorf("%s works from its disk? %+v", h.Name, st)
			}
			return err
		})
		// The sockets of the metadata service are the agent's own and die with it;
		// of what outlives an agent nothing is written again.
		if st, err := w.status(h); err != nil || st.AllDrops != 0 || h == w.compute && st.AllPuts != 0 {
			t.Errorf("%s: a fresh agent wrote: %+v (%v)", h.Name, st, err)
		}
	}
	if now := w.sh(w.network, "cat "+dhcpRoot+"/"+w.seed+"/pid"); now != dnsmasq {
		t.Errorf("dnsmasq is process %s, before the agent's restart %s", now, dnsmasq)
	}
	w.must(traffic())
	renew()
	// It still repairs.
	w.sh(w.compute, "ovs-ofctl del-flows br-int")
	w.until(repairTime, traffic)
	w.sh(w.network, "kill -9 $(cat "+dhcpRoot+"/"+w.seed+"/pid)")
	w.until(repairTime, func() error { _, err := w.look(w.network, "kill -0 $(cat "+dhcpRoot+"/"+w.seed+"/pid)"); return err })
	renew()
	w.must(w.server.Restart(w.ctx, serverProcess))
	w.asWanted(3 * repairTime)
	w.until(repairTime, func() error { return errors.Join(w.portStatus(a.PortID, "ACTIVE"), w.portStatus(b.PortID, "ACTIVE")) })
}

// watcher looks all the time for a port that is on its VLAN without its chains.
type watcher struct {
	mu    sync.Mutex
	looks int
	bad   []string
}

var (
	portLine  = regexp.MustCompile(`"?qvo([0-9a-f-]{11})"?,(\d+)`)
	chainLine = regexp.MustCompile(`(?m)^:neutron-openvswi-([io])([0-9a-f-]{10}) `)
)

// watch reads the VLANs, then the chains, then the VLANs again: what is live
// in both readings had to be filtered in between.
func (w *world) watch(ctx context.Context) *watcher {
	out := &watcher{}
	vlans := "ovs-vsctl --format=csv --no-headings --columns=name,tag list Port; echo ---;"
	go func() {
		for ctx.Err() == nil {
			text, err := w.look(w.compute, vlans+"iptables-save -t filter; ip6tables-save -t filter; echo ---;"+vlans)
			parts := strings.Split(text, "---")
			if err != nil || len(parts) < 3 {
				continue
			}
			chains := map[string]int{}
			for _, m := range chainLine.FindAllStringSubmatch(parts[1], -1) {
				chains[m[2]]++
			}
			live := map[string]string{}
			for _, m := range portLine.FindAllStringSubmatch(parts[0], -1) {
				live[m[1]] = m[2]
			}
			out.mu.Lock()
			out.looks++
			for _, m := range portLine.FindAllStringSubmatch(parts[2], -1) {
				if m[2] != "4095" && live[m[1]] == m[2] && chains[m[1][:10]] != 4 {
					out.bad = append(out.bad, fmt.Sprintf("port %s is on VLAN %s with %d of 4 chains", m[1], m[2], chains[m[1][:10]]))
				}
			}
			out.mu.Unlock()
		}
	}()
	return out
}

func TestAnAgentKilledTwentyTimesLeavesTheHostAsPlanned(t *testing.T) {
	w := story(t)
	a, b := w.instance(lab.InstanceSpec{Name: "twenty-a"}), w.instance(lab.InstanceSpec{Name: "twenty-b"})
	group := w.create("security-groups", lab.Object{"name": "twenty"}).ID()
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	seen := w.watch(ctx)
	var all sync.WaitGroup
	churn := func(change func(n int) error) {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := change(n); err != nil && ctx.Err() == nil {
					t.Errorf("churn: %v", err)
					return
				}
			}
		})
	}
	churn(func(n int) error { return w.comeAndGo(ctx, group, n) })
	churn(func(n int) error {
		r, err := w.api.Create(ctx, "security-group-rules", lab.Object{"security_group_id": group, "direction": "ingress",
			"protocol": "tcp", "port_range_min": n%1000 + 1, "port_range_max": n%1000 + 50})
		if err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		return w.api.Delete(ctx, "security-group-rules", r.ID())
	})
	random := rand.New(rand.NewPCG(7, 7))
	for range 20 {
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		w.must(w.compute.Kill(w.ctx, agentProcess))
		w.must(w.compute.Restart(w.ctx, agentProcess))
	}
	time.Sleep(500 * time.Millisecond)
	stop()
	all.Wait()
	w.removeAll("ports", w.seed)
	w.sh(w.compute, "for n in $(ip netns | grep -o '^burst-[0-9]*'); do ip netns delete $n; done")
	w.asWanted(3 * repairTime)
	seen.mu.Lock()
	t.Logf("the watcher looked %d times", seen.looks)
	for _, bad := range seen.bad {
		t.Error(bad)
	}
	if seen.looks < 20 {
		t.Errorf("the watcher looked only %d times", seen.looks)
	}
	seen.mu.Unlock()
	w.unchanged(w.compute)
	w.must(errors.Join(a.Ping(w.ctx, b.Address), a.Ping(w.ctx, lab.SeedDHCP)))
	left := w.sh(w.compute, "ovs-vsctl --format=csv --no-headings --columns=name list Port | grep -c qvo; iptables-save | grep -c '^:neutron-openvswi-i'")
	if left != "3\n3" { // the VM and the two instances
		t.Errorf("ports on br-int and their chains: %q, want 3 and 3", left)
	}
}

// comeAndGo creates a port, plugs it, and takes it away again.
func (w *world) comeAndGo(ctx context.Context, group string, n int) error {
	p, err := w.api.Create(ctx, "ports", lab.Object{"name": "burst", "network_id": w.seed, "binding:host_id": w.compute.Name,
		"device_owner": "compute:nova", "device_id": "burst", "security_groups": []string{group}})
	if err != nil {
		return err
	}
	ns := fmt.Sprintf("burst-%d", n)
	done := context.WithoutCancel(ctx) // what is begun is finished
	_, err = w.compute.Run(done, "sh", "-ec", fmt.Sprintf("ip netns add %[1]s; %[2]s vif plug --port %[3]s --mac %[4]s --mtu 1458 --instance burst --kind namespace --netns %[1]s; sleep 0.1",
		ns, w.lab.Binary, p.ID(), p.Text("mac_address")))
	if err == nil && n%2 == 0 {
		err = w.api.Delete(done, "ports", p.ID()) // the port goes before its device, or after
	}
	_, gone := w.compute.Run(done, "sh", "-ec", fmt.Sprintf("%s vif unplug --port %s; ip netns delete %s", w.lab.Binary, p.ID(), ns))
	return errors.Join(err, gone, w.api.Delete(done, "ports", p.ID()))
}
